package libvirt

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
)

func TestSave(t *testing.T) {
	x := startDom0(t)
	var w bytes.Buffer
	require.NoError(t, x.driver(t, Limits{}).Save(t.Context(), x.spec.UUID, &w, nil))
	assert.True(t, bytes.Equal(x.image, w.Bytes()), "w has all of it")
	assert.Equal(t, []string{"begin", "perform", "confirm 0"}, x.did())
	assert.False(t, x.there())
}

func TestSaveAndGoOn(t *testing.T) {
	x := startDom0(t)
	var w bytes.Buffer
	require.NoError(t, x.driver(t, Limits{}).Save(t.Context(), x.spec.UUID, &w, &xen.SaveOptions{Then: xen.Running}))
	assert.Equal(t, len(x.image), w.Len())
	assert.Equal(t, []string{"begin", "perform", "confirm 1"}, x.did())
	assert.False(t, x.suspended)
	assert.True(t, x.there())
}

// full fails behind its limit.
type full struct {
	n    int
	fail func() error
}

func (f *full) Write(p []byte) (int, error) {
	if f.n -= len(p); f.n < 0 {
		return 0, f.fail()
	}
	return len(p), nil
}

// Whatever becomes of w, libvirt is let finish, since it loses a guest whose
// stream is cut.
func TestSaveThatIsNotTaken(t *testing.T) {
	room := errors.New("no room")
	for name, tc := range map[string]struct {
		fail  func(cancel func()) error
		means error
	}{
		"fails":           {func(func()) error { return room }, room},
		"cancels":         {func(cancel func()) error { cancel(); return context.Canceled }, context.Canceled},
		"cancels, blocks": {func(cancel func()) error { cancel(); select {} }, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			x := startDom0(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			err := x.driver(t, Limits{}).Save(ctx, x.spec.UUID, &full{n: 100_000, fail: func() error { return tc.fail(cancel) }}, nil)
			require.ErrorIs(t, err, tc.means)
			require.NotErrorIs(t, err, xen.ErrDirty)
			assert.Equal(t, []string{"begin", "perform", "confirm 1"}, x.did())
			assert.False(t, x.suspended)
		})
	}
}

// libvirt leaves a guest suspended whose send failed, and calls it running.
func TestSaveThatLibvirtFails(t *testing.T) {
	x := startDom0(t)
	x.sends = 100_000
	err := x.driver(t, Limits{}).Save(t.Context(), x.spec.UUID, &bytes.Buffer{}, nil)
	require.ErrorContains(t, err, "libxenlight failed")
	require.NotErrorIs(t, err, xen.ErrDirty)
	assert.Equal(t, []string{"begin", "perform", "begin", "confirm 1"}, x.did())
	assert.False(t, x.suspended)
}

// A daemon that hangs in the middle is left, and what it holds is told.
func TestSaveThatHangs(t *testing.T) {
	x := startDom0(t)
	x.sends, x.hangs = 100_000, true
	start := time.Now()
	err := x.driver(t, Limits{Stall: time.Second}).Save(t.Context(), x.spec.UUID, &bytes.Buffer{}, nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Less(t, time.Since(start), 15*time.Second)
	require.NotErrorIs(t, err, context.Canceled)

	x = startDom0(t)
	x.silent = func(proc uint32) bool { return proc == procPerform || proc == procByUUID && len(x.did()) > 0 }
	err = x.driver(t, Limits{Stall: time.Second}).Save(t.Context(), x.spec.UUID, &bytes.Buffer{}, nil)
	require.ErrorIs(t, err, context.DeadlineExceeded, "it never connects")
}

func TestSaveRefuses(t *testing.T) {
	x := startDom0(t)
	d := x.driver(t, Limits{})
	require.ErrorIs(t, d.Save(t.Context(), x.spec.UUID, &bytes.Buffer{}, &xen.SaveOptions{Then: xen.Paused}), errors.ErrUnsupported)
	require.ErrorIs(t, d.Save(t.Context(), x.spec.UUID, &bytes.Buffer{}, &xen.SaveOptions{Then: xen.Crashed}), xen.ErrInvalid)
	require.NoError(t, d.Pause(t.Context(), x.spec.UUID))
	require.ErrorIs(t, d.Save(t.Context(), x.spec.UUID, &bytes.Buffer{}, nil), xen.ErrBusy)
	assert.Empty(t, x.did())
	x.drop()
	require.ErrorIs(t, d.Save(t.Context(), x.spec.UUID, &bytes.Buffer{}, nil), fs.ErrNotExist)
}

const procTable = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0000000000000000 100 0 0 10 0
   1: 0100007F:D431 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 12 1 0000000000000000 20 4 30 10 -1
   2: 0100007F:D432 0100007F:1F90 06 00000000:00000000 00:00000000 00000000     0        0 0 3 0000000000000000
   3: 0100007F:D433 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 13 1 0000000000000000 20 4 30 10 -1
`

// Anybody can connect to a port of 127.0.0.1, and the memory of a guest is not
// for anybody, nor is anybody to say what was saved.
func TestWhoConnects(t *testing.T) {
	here := netip.MustParseAddrPort("127.0.0.1:8080")
	for port, want := range map[uint16]int{0xD431: 1000, 0xD432: -1, 0xD433: 0, 0xD434: -1} {
		uid, ok := socketUser(procTable, netip.AddrPortFrom(here.Addr(), port), here)
		assert.Equal(t, want >= 0, ok, port)
		assert.Equal(t, max(want, 0), uid, port)
	}
	in, err := listen()
	require.NoError(t, err)
	defer in.Close()
	table, err := os.ReadFile("/proc/net/tcp")
	require.NoError(t, err)
	assert.Contains(t, string(table), procAddr(netip.MustParseAddrPort(in.Addr().String())), "the kernel writes addresses so")
}

func FuzzSocketUser(f *testing.F) {
	f.Add(procTable, uint16(0xD431))
	f.Fuzz(func(t *testing.T, table string, port uint16) {
		here := netip.MustParseAddrPort("127.0.0.1:8080")
		uid, ok := socketUser(table, netip.AddrPortFrom(here.Addr(), port), here)
		if ok {
			require.GreaterOrEqual(t, uid, 0)
		}
	})
}
