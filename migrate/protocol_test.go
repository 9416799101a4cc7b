package migrate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/migrate/migratetest"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// TestRemoteIsAHost uses every verb of a host through a connection.
func TestRemoteIsAHost(t *testing.T) {
	w, ctx := newWorld(t, nil), t.Context()
	h, err := w.Dial(ctx, "curacao", "islay")
	require.NoError(t, err)
	assert.Equal(t, "islay", h.Name())
	info, err := h.Info(ctx)
	require.NoError(t, err)
	assert.Equal(t, "islay", info.Hostname)

	g := w.Guest("web2", 2<<20)
	g.Disks = append(g.Disks, host.Disk{Dev: "xvdb", Volume: lvm.ID{Group: "guests", Name: "web2-data"}, Size: 3 << 20})
	image, data := bytes.Repeat([]byte("image"), 1000), bytes.Repeat([]byte("data!"), 400_000)
	sent := map[string]int64{}
	g, err = h.Provision(ctx, g, &host.ProvisionOptions{
		Images:   map[string]io.Reader{"xvda": bytes.NewReader(image), "xvdb": bytes.NewReader(data)},
		Progress: func(dev string, done int64) { sent[dev] = done },
	})
	require.NoError(t, err)
	assert.Equal(t, map[string]int64{"xvda": 5000, "xvdb": 2_000_000}, sent)
	v, err := w.Machine("islay").Volumes.Open(ctx, g.Disks[1].Volume)
	require.NoError(t, err)
	got := make([]byte, len(data))
	_, err = v.ReadAt(got, 0)
	require.NoError(t, err)
	require.NoError(t, v.Close())
	assert.True(t, bytes.Equal(data, got))

	require.NoError(t, w.Await(ctx, g.UUID, 3))
	how, err := h.Stop(ctx, g.UUID)
	require.NoError(t, err)
	assert.Equal(t, xen.Clean, how)
	s, err := h.Guest(ctx, g.UUID)
	require.NoError(t, err)
	assert.Nil(t, s.Domain)
	assert.True(t, s.Guest.Off)
	require.NoError(t, h.Start(ctx, g.UUID))
	all, err := h.Guests(ctx)
	require.NoError(t, err)
	require.Len(t, all, 1)
	assert.Equal(t, owner.Running, all[0].Owner.State)
	found, err := h.Find(ctx, "web2")
	require.NoError(t, err)
	assert.Equal(t, g.UUID, found.UUID)

	_, err = h.Provision(ctx, g, nil)
	require.ErrorIs(t, err, fs.ErrExist)
	require.ErrorContains(t, err, "islay: host: provision web2: ")
	big := w.Guest("web3", 1<<40)
	_, err = h.Provision(ctx, big, nil)
	require.ErrorIs(t, err, lvm.ErrNoSpace)
	_, err = h.Guest(ctx, uuid.New())
	require.ErrorIs(t, err, fs.ErrNotExist)

	require.NoError(t, h.Terminate(ctx, g.UUID))
	require.ErrorIs(t, h.Terminate(ctx, g.UUID), fs.ErrNotExist)
}

// TestProvisionBreaks: an image that ends in an error, or a cable that is cut
// in the middle of one, leaves nothing behind.
func TestProvisionBreaks(t *testing.T) {
	w, ctx := newWorld(t, nil), t.Context()
	h, err := w.Dial(ctx, "curacao", "islay")
	require.NoError(t, err)
	broken := errors.New("tape torn")
	for name, image := range map[string]io.Reader{
		"error": io.MultiReader(bytes.NewReader(make([]byte, 100_000)), failing{broken}),
		"cable": io.MultiReader(bytes.NewReader(make([]byte, 100_000)), cutting{w.World}),
	} {
		g := w.Guest("web2", 4<<20)
		_, err := h.Provision(ctx, g, &host.ProvisionOptions{Images: map[string]io.Reader{"xvda": image}})
		require.Error(t, err, name)
		if name == "error" {
			require.ErrorIs(t, err, broken)
		}
		w.Cut()
		w.Mend()
		_, err = w.Host("islay").Guest(ctx, g.UUID)
		require.ErrorIs(t, err, fs.ErrNotExist, name)
		volumes, err := w.Machine("islay").Volumes.Volumes(ctx, "guests")
		require.NoError(t, err)
		require.Empty(t, volumes, name)
		h, err = w.Dial(ctx, "curacao", "islay")
		require.NoError(t, err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

type cutting struct{ w *migratetest.World }

func (c cutting) Read(p []byte) (int, error) { c.w.Cut(); return len(p), nil }

func TestHello(t *testing.T) {
	w, ctx := newWorld(t, nil), t.Context()
	dial := func(name string) error {
		conn, err := w.Connect("curacao", "islay")
		require.NoError(t, err)
		r, err := migrate.Dial(ctx, conn, &migrate.DialOptions{Name: name})
		if err == nil {
			r.Close()
		}
		return err
	}
	require.NoError(t, dial("curacao"))
	require.NoError(t, dial(""), "a panel has no name")
	require.ErrorIs(t, dial("islay"), host.ErrInvalid)
	require.ErrorContains(t, dial("islay"), "both hosts are called islay")
	require.ErrorIs(t, dial("../islay"), migrate.ErrProtocol)
}

// TestBanner: whatever else is at the other end is told from a peer, soon.
func TestBanner(t *testing.T) {
	for _, says := range []string{"Welcome to islay!\n", "bash:", "SSH-2.0-OpenSSH_9.2\r\n"} {
		a, b := net.Pipe()
		go func() {
			go func() { _, _ = io.Copy(io.Discard, b) }()
			_, _ = io.WriteString(b, says)
			b.Close()
		}()
		_, err := migrate.Dial(t.Context(), a, nil)
		require.ErrorIs(t, err, migrate.ErrProtocol)
		require.ErrorContains(t, err, fmt.Sprintf("%.4q", says)[:4])
	}
	a, b := net.Pipe()
	b.Close()
	_, err := migrate.Dial(t.Context(), a, nil)
	require.ErrorIs(t, err, migrate.ErrUnreachable)

	a, b = net.Pipe() // says nothing
	defer b.Close()
	_, err = migrate.Dial(t.Context(), a, &migrate.DialOptions{Within: 10 * time.Millisecond})
	require.ErrorIs(t, err, migrate.ErrUnreachable)
	ctx, cancel := context.WithCancel(t.Context())
	a, b = net.Pipe()
	defer b.Close()
	time.AfterFunc(10*time.Millisecond, cancel)
	_, err = migrate.Dial(ctx, a, nil)
	require.ErrorIs(t, err, context.Canceled)
}

// TestDeadLine: a connection that swallows everything ends its calls.
func TestDeadLine(t *testing.T) {
	w := newWorld(t, nil)
	inner, err := w.Connect("curacao", "islay")
	require.NoError(t, err)
	conn := &swallow{Conn: inner, dead: make(chan struct{})}
	keep := migrate.Keepalive{Every: 20 * time.Millisecond, Within: 50 * time.Millisecond}
	h, err := migrate.Dial(t.Context(), conn, &migrate.DialOptions{Name: "curacao", Keepalive: keep})
	require.NoError(t, err)
	close(conn.dead)
	_, err = h.Info(t.Context())
	require.ErrorIs(t, err, migrate.ErrUnreachable)
	<-h.Done()
}

// TestDeadPeerHoldsNothing: a host whose peer has vanished gives its guests
// back, even if its end of the connection is a stdin that Close does not end.
func TestDeadPeerHoldsNothing(t *testing.T) {
	w := newWorld(t, nil)
	a, b := net.Pipe()
	served := make(chan error, 1)
	keep := migrate.Keepalive{Every: 20 * time.Millisecond, Within: 50 * time.Millisecond}
	go func() {
		served <- migrate.Serve(t.Context(), w.Host("islay"), deaf{b}, &migrate.ServeOptions{Keepalive: keep})
	}()
	conn := &swallow{Conn: a, dead: make(chan struct{})}
	far, err := migrate.Dial(t.Context(), conn, &migrate.DialOptions{Name: "curacao"})
	require.NoError(t, err)
	defer far.Close()
	plan, err := migrate.PlanMove(t.Context(), w.Host("curacao"), far, w.guest.UUID, migrate.Cold, at(handover.Copy, func() {
		close(conn.dead)
		require.ErrorContains(t, <-served, "migrate: serve islay: ")
		l, err := w.Host("islay").Hold(w.guest.UUID)
		require.NoError(t, err)
		l.Release()
		a.Close()
	}))
	require.NoError(t, err)
	_, err = plan.Run(t.Context())
	require.ErrorIs(t, err, migrate.ErrUnreachable)
	w.writes("on curacao")
}

// deaf is a connection that Close does not close.
type deaf struct{ net.Conn }

func (deaf) Close() error { return nil }

// swallow is a cable whose plug was pulled: writes vanish.
type swallow struct {
	net.Conn
	dead chan struct{}
}

func (s *swallow) Write(p []byte) (int, error) {
	select {
	case <-s.dead:
		return len(p), nil
	default:
		return s.Conn.Write(p)
	}
}

// TestErrorsTravel: what errors.Is finds here it finds there.
func TestErrorsTravel(t *testing.T) {
	w, ctx := newWorld(t, nil), t.Context()
	h, err := w.Dial(ctx, "curacao", "islay")
	require.NoError(t, err)
	for _, want := range []error{fs.ErrNotExist, fs.ErrExist, errors.ErrUnsupported, context.DeadlineExceeded, host.ErrBusy, host.ErrForeign,
		owner.ErrNotOwner, lvm.ErrNoSpace, lvm.ErrSnapshotInvalid, lvm.ErrBusy, xen.ErrNoMemory, xen.ErrDirty, blockcopy.ErrStream} {
		w.Machine("islay").Domains.Fail("info", fmt.Errorf("wrapped: %w", want))
		_, err := h.Info(ctx)
		require.ErrorIs(t, err, want)
		require.ErrorContains(t, err, "islay: xen: info: wrapped: ")
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	_, err = h.Info(ctx)
	require.ErrorIs(t, err, context.Canceled)
}
