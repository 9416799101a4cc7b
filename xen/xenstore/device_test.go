package xenstore

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
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

// With two requests under way a kernel was seen to mix up their replies.
func TestDeviceHasOneRequestAtATime(t *testing.T) {
	r, w := io.Pipe()
	k := &kernel{r, w}
	c := newClient(busy{k, new(atomic.Int32)}, true, nil)
	defer c.Close()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				assert.NoError(t, c.Write(t.Context(), "/a", nil))
			}
		})
	}
	all.Wait()
}

// busy refuses a request while another has no reply.
type busy struct {
	*kernel
	open *atomic.Int32
}

func (b busy) Write(p []byte) (int, error) {
	if b.open.Add(1) > 1 {
		return 0, &fs.PathError{Op: "write", Path: "/dev/xen/xenbus", Err: syscall.EBUSY}
	}
	return b.kernel.Write(p)
}

func (b busy) Read(p []byte) (int, error) {
	n, err := b.kernel.Read(p)
	b.open.Store(0)
	return n, err
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
