package xenstore

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen/xenstore/internal/wire"
)

// kernel is /dev/xen/xenbus: it takes 4096 bytes with the header, and answers
// some requests by the errno of the write.
type kernel struct {
	io.Reader
	answers io.WriteCloser
}

func (k *kernel) Close() error { return k.answers.Close() }

func (k *kernel) Write(b []byte) (int, error) {
	m, err := wire.Next(bytes.NewReader(b))
	switch {
	case err != nil || len(b) > 4096:
		return 0, &fs.PathError{Op: "write", Path: "/dev/xen/xenbus", Err: syscall.EINVAL}
	case m.Op == wire.Watch:
		return 0, &fs.PathError{Op: "write", Path: "/dev/xen/xenbus", Err: syscall.ENOENT}
	}
	go func() { _, _ = k.answers.Write(wire.Message{Op: m.Op, ID: m.ID, Body: []byte("OK\x00")}.Append(nil)) }()
	return len(b), nil
}

func TestDevice(t *testing.T) {
	r, w := io.Pipe()
	c := newClient(&kernel{r, w}, true, nil)
	defer c.Close()
	_, err := c.Watch(t.Context(), "/tool")
	require.ErrorIs(t, err, fs.ErrNotExist, "the kernel refuses one request")
	require.NoError(t, c.Write(t.Context(), "/a", []byte(strings.Repeat("x", 4080-3))), "and the connection goes on")
	err = c.Write(t.Context(), "/a", []byte(strings.Repeat("x", 4080-2)))
	require.ErrorIs(t, err, ErrInvalid)
	require.ErrorContains(t, err, "4080 at most")
	require.NoError(t, c.Err())
	require.Empty(t, c.open, "what has no reply is not waited for")
}

func TestMeanings(t *testing.T) {
	for name, want := range map[string]error{
		"ENOENT": fs.ErrNotExist, "EEXIST": fs.ErrExist, "EACCES": fs.ErrPermission, "EPERM": fs.ErrPermission, "EINVAL": ErrInvalid,
		"ENOSYS": errors.ErrUnsupported, "EAGAIN": ErrConflict, "ENOSPC": ErrQuota, "E2BIG": errTooBig,
	} {
		require.ErrorIs(t, meaning(name), want, name)
	}
	require.ErrorIs(t, errnoMeaning(syscall.E2BIG), ErrQuota)
	require.Equal(t, syscall.EIO, errnoMeaning(syscall.EIO))
}
