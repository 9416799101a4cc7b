package libvirt

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	rpc "github.com/digitalocean/go-libvirt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
)

// reads has the daemon read the pipe to its end and, if all is there, start the
// domain.
func reads(t *testing.T) func(x *dom0Host, path string) *rpc.Error {
	return func(x *dom0Host, path string) *rpc.Error {
		for p, mode := range map[string]fs.FileMode{path: fs.ModeNamedPipe | 0o600, filepath.Dir(path): fs.ModeDir | 0o700} {
			at, err := os.Stat(p)
			assert.NoError(t, err)
			assert.Equal(t, mode, at.Mode(), "nobody else can read it")
		}
		got, err := os.ReadFile(path)
		assert.NoError(t, err)
		text, renderErr := render(x.spec, anyHost())
		assert.NoError(t, renderErr)
		head := imageHead(text)
		if !assert.True(t, bytes.HasPrefix(got, head)) || !bytes.Equal(got[len(head):], x.image) {
			return fault
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		x.domains = []guest{running(x.spec)}
		return nil
	}
}

func startEmpty(t *testing.T) *dom0Host {
	x := startDom0(t)
	x.drop()
	x.restores = reads(t)
	return x
}

func TestRestore(t *testing.T) {
	x := startEmpty(t)
	d := x.driver(t, Limits{})
	back, err := d.Restore(t.Context(), x.spec, bytes.NewReader(x.image), nil)
	require.NoError(t, err)
	assert.Equal(t, 2, back.ID)
	empty(t, d)
	_, err = d.Restore(t.Context(), x.spec, strings.NewReader("never read"), nil)
	require.ErrorIs(t, err, fs.ErrExist)
	assert.Equal(t, []string{"restore"}, x.did())
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

func TestRestoreThatFails(t *testing.T) {
	lost := errors.New("the line is cut")
	for name, tc := range map[string]struct {
		r        func(x *dom0Host, cancel func()) io.Reader
		restores func(x *dom0Host, path string) *rpc.Error
		means    error
	}{
		"half":    {r: func(x *dom0Host, _ func()) io.Reader { return bytes.NewReader(x.image[:1000]) }},
		"nothing": {r: func(*dom0Host, func()) io.Reader { return strings.NewReader("") }},
		"its reader fails": {r: func(x *dom0Host, _ func()) io.Reader {
			return io.MultiReader(bytes.NewReader(x.image[:200_000]), broken{lost})
		}, means: lost},
		"cancelled": {r: func(x *dom0Host, cancel func()) io.Reader {
			return io.MultiReader(bytes.NewReader(x.image[:200_000]), cancels(cancel))
		}, means: context.Canceled},
		"refused unread": {restores: func(*dom0Host, string) *rpc.Error { return fault }},
		"refused when read": {restores: func(_ *dom0Host, path string) *rpc.Error {
			f, err := os.Open(path)
			if err == nil {
				_, _ = f.Read(make([]byte, 10))
				f.Close()
			}
			return fault
		}},
	} {
		t.Run(name, func(t *testing.T) {
			x := startEmpty(t)
			if tc.restores != nil {
				x.restores = tc.restores
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r := io.Reader(bytes.NewReader(x.image))
			if tc.r != nil {
				r = tc.r(x, cancel)
			}
			d := x.driver(t, Limits{})
			_, err := d.Restore(ctx, x.spec, r, nil)
			require.Error(t, err)
			if tc.means != nil {
				require.ErrorIs(t, err, tc.means)
			}
			require.NotErrorIs(t, err, xen.ErrDirty)
			empty(t, d)
		})
	}
}

type cancels func()

func (c cancels) Read([]byte) (int, error) { c(); return 0, io.EOF }

// A daemon that does not open the pipe, or reads no more, is left; the pipe is
// closed behind it, so that it is not stuck with it.
func TestRestoreThatHangs(t *testing.T) {
	for name, restores := range map[string]func(x *dom0Host, path string) *rpc.Error{
		"unopened": nil,
		"unread": func(_ *dom0Host, path string) *rpc.Error {
			f, err := os.Open(path)
			if err == nil {
				defer f.Close()
				time.Sleep(2 * time.Second) // longer than the driver waits
			}
			return fault
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := startEmpty(t)
			x.restores = restores
			x.silent = func(proc uint32) bool { return proc == procRestore && restores == nil }
			d := x.driver(t, Limits{Query: time.Second, Stall: 100 * time.Millisecond})
			_, err := d.Restore(t.Context(), x.spec, bytes.NewReader(x.image), nil)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			empty(t, d)
		})
	}
}
