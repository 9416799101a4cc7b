package xentest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/xentest"
)

func TestADeafGuestAnswersNothing(t *testing.T) {
	ctx := context.Background()
	f := xentest.New(&xentest.Options{AnyDisk: true})
	spec := guest("web1")
	spec.Disks = []xen.Disk{{Dev: "xvda", Path: "/dev/a"}, {Dev: "xvdb", Path: "/dev/b"}}
	spec.VCPUs = 2
	_, err := f.Create(ctx, spec, nil)
	require.NoError(t, err)
	f.IgnoreShutdown(spec.UUID)
	_, err = f.Reboot(ctx, spec.UUID, nil)
	require.ErrorIs(t, err, xen.ErrNoAnswer)
	require.ErrorIs(t, f.Save(ctx, spec.UUID, io.Discard, nil), xen.ErrNoAnswer)
	require.ErrorIs(t, f.SetMemory(ctx, spec.UUID, 64<<20), xen.ErrNoAnswer)
	require.ErrorIs(t, f.SetVCPUs(ctx, spec.UUID, 1), xen.ErrNoAnswer)
	require.ErrorIs(t, f.DetachDisk(ctx, spec.UUID, "xvdb"), xen.ErrBusy)
	now, err := f.Config(ctx, spec.UUID)
	require.NoError(t, err)
	assert.Equal(t, spec.WithDefaults(), now)
}

func TestZombies(t *testing.T) {
	ctx := context.Background()
	f := xentest.New(&xentest.Options{Memory: 256 << 20})
	spec := guest("web1")
	first, err := f.Create(ctx, spec, nil)
	require.NoError(t, err)
	f.KeepZombie(spec.UUID)
	require.ErrorIs(t, f.Destroy(ctx, spec.UUID), xen.ErrDirty)
	d, err := f.Lookup(ctx, spec.UUID)
	require.NoError(t, err)
	assert.Equal(t, xen.Domain{UUID: spec.UUID, ID: first.ID, State: xen.Dying, Memory: spec.Memory, VCPUs: 1, CPUTime: d.CPUTime}, d, "it has no name")
	_, err = f.Create(ctx, spec, nil)
	require.ErrorIs(t, err, fs.ErrExist, "its UUID is there still")
	other := guest("web1")
	_, err = f.Create(ctx, other, nil)
	require.ErrorIs(t, err, xen.ErrNoMemory, "its name is free, its memory is not")
	f.ReapZombies()
	_, err = f.Create(ctx, spec, nil)
	require.NoError(t, err)
	f.KeepZombie(spec.UUID)
	f.PowerOff()
	f.PowerOn()
	list, err := f.List(ctx)
	require.NoError(t, err)
	assert.Empty(t, list)
}

func TestRebootThatTheHostHasNoMemoryFor(t *testing.T) {
	ctx := context.Background()
	f := xentest.New(&xentest.Options{Memory: 256 << 20})
	spec := guest("web1")
	_, err := f.Create(ctx, spec, nil)
	require.NoError(t, err)
	next := spec.Clone()
	next.Memory = 512 << 20
	require.NoError(t, f.UpdateConfig(ctx, next))
	_, err = f.Reboot(ctx, spec.UUID, nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// Whoever saves a guest that goes on, or fails to, has to watch it from then on.
func TestSuspendLosesTheMonitor(t *testing.T) {
	ctx := context.Background()
	for name, suspend := range map[string]func(*xentest.Fake, xen.Spec){
		"save": func(f *xentest.Fake, s xen.Spec) {
			require.NoError(t, f.Save(ctx, s.UUID, io.Discard, &xen.SaveOptions{Then: xen.Running}))
		},
		"failed migration": func(f *xentest.Fake, s xen.Spec) {
			sent, _ := move(f, xentest.New(nil), s, func(c net.Conn) net.Conn { return &cutter{Conn: c, before: "end of saved domain\n"} })
			require.Error(t, sent)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := xentest.New(nil)
			spec := guest("web1")
			_, err := f.Create(ctx, spec, nil)
			require.NoError(t, err)
			suspend(f, spec)
			_, err = f.Reboot(ctx, spec.UUID, nil)
			require.ErrorIs(t, err, xen.ErrBusy)
			d, err := f.Lookup(ctx, spec.UUID)
			require.NoError(t, err)
			assert.Equal(t, xen.Stopped, d.State)
			assert.Equal(t, xen.Reboot, d.Reason)
		})
	}
}

// counter counts in its memory, and writes each number to its console.
func counter(ctx context.Context, g *xentest.Guest) {
	for n := append(g.Memory(), 0); ; n = append(n, 0) {
		if g.Step(ctx, func() error {
			g.Remember(n)
			_, err := g.Console().Write([]byte{byte(len(n))})
			return err
		}) != nil {
			return
		}
		line := make([]byte, 1)
		if _, err := g.Console().Read(line); err != nil { // a key for each number
			return
		}
	}
}

// A guest goes on after a restore where it was, and begins anew after a reboot.
func TestMemoryGoesThroughTheStream(t *testing.T) {
	ctx := context.Background()
	f := xentest.New(&xentest.Options{Program: counter})
	spec := guest("web1")
	_, err := f.Create(ctx, spec, nil)
	require.NoError(t, err)
	next := func() byte {
		c, err := f.Console(ctx, spec.UUID)
		require.NoError(t, err)
		defer c.Close()
		got := make([]byte, 1)
		_, err = io.ReadFull(c, got)
		require.NoError(t, err)
		_, err = c.Write([]byte{'\n'})
		require.NoError(t, err)
		return got[0]
	}
	assert.EqualValues(t, 1, next())
	assert.EqualValues(t, 2, next())
	var image bytes.Buffer
	require.NoError(t, f.Save(ctx, spec.UUID, &image, nil))
	other := xentest.New(&xentest.Options{Program: counter})
	f, other = other, f
	bigger := spec.Clone()
	bigger.Memory *= 2
	_, err = f.Restore(ctx, bigger, bytes.NewReader(image.Bytes()), nil)
	require.ErrorIs(t, err, xen.ErrInvalid, "it was saved from another machine")
	_, err = f.Restore(ctx, spec, &image, nil)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, next(), byte(3), "it goes on on the other host")
	require.NoError(t, f.GuestReboot(spec.UUID))
	assert.EqualValues(t, 1, next())
	f.PowerOff()
	other.PowerOff()
}

// move connects two hosts and returns how both halves ended.
func move(from, to *xentest.Fake, spec xen.Spec, wire func(net.Conn) net.Conn) (sent, received error) {
	a, b := net.Pipe()
	done := make(chan error, 1)
	go func() {
		defer b.Close()
		_, err := to.ReceiveFrom(context.Background(), spec, b)
		done <- err
	}()
	defer a.Close()
	sent = from.SendTo(context.Background(), spec.UUID, wire(a), nil)
	a.Close()
	return sent, <-done
}

// cutter breaks a connection in front of the nth thing that is written that
// equals a text.
type cutter struct {
	net.Conn
	before string
	broken bool
}

func (c *cutter) Write(p []byte) (int, error) {
	if c.broken || string(p) == c.before {
		c.broken = true
		c.Conn.Close()
		return 0, io.ErrClosedPipe
	}
	return c.Conn.Write(p)
}

func TestMigration(t *testing.T) {
	const goWord = "domain is yours, you are cleared to unpause\x00"
	boom := errors.New("boom")
	for _, c := range []struct {
		name     string
		before   func(from, to *xentest.Fake)
		cut      string // what is never sent
		sent     string // "" is well
		here     xen.State
		hereName string
		there    xen.State
	}{
		{"well", nil, "", "", "", "", xen.Running},
		{"guest does not suspend", func(from, _ *xentest.Fake) { from.Fail("suspend", boom) }, "", "failed to suspend at sender", xen.Running, "web1", ""},
		{"no memory there", func(_, to *xentest.Fake) {
			big := guest("big")
			big.Memory = 4000 << 20
			_, _ = to.Create(context.Background(), big, nil)
		}, "", "closed pipe", xen.Running, "web1", ""},
		{"cut while suspended", nil, "end of saved domain\n", "resuming at sender", xen.Running, "web1", ""},
		{"cut at the handshake", nil, goWord, "undefined", xen.Suspended, "web1--migratedaway", ""},
		{"target can not start it", func(_, to *xentest.Fake) { to.Fail("start", boom) }, "", "resumed at sender", xen.Running, "web1", ""},
		{"name taken there", func(_, to *xentest.Fake) { _, _ = to.Create(context.Background(), guest("web1"), nil) }, "", "resumed at sender", xen.Running, "web1", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := context.Background()
			from, to := xentest.New(nil), xentest.New(nil)
			spec := guest("web1")
			_, err := from.Create(ctx, spec, nil)
			require.NoError(t, err)
			if c.before != nil {
				c.before(from, to)
			}
			sent, received := move(from, to, spec, func(conn net.Conn) net.Conn { return &cutter{Conn: conn, before: c.cut} })
			if c.sent == "" {
				require.NoError(t, errors.Join(sent, received))
			} else {
				require.ErrorContains(t, sent, c.sent)
				require.Error(t, received)
			}
			for _, side := range []struct {
				host *xentest.Fake
				want xen.State
				name string
			}{{from, c.here, c.hereName}, {to, c.there, "web1"}} {
				d, err := side.host.Lookup(ctx, spec.UUID)
				if side.want == "" {
					require.ErrorIs(t, err, fs.ErrNotExist)
					continue
				}
				require.NoError(t, err)
				assert.Equal(t, side.want, d.State)
				assert.Equal(t, side.name, d.Name)
			}
		})
	}
}

// Inside one host the two halves are two domains of one UUID; a vif can have
// its name only once, as with xl.
func TestMigrationInsideOneHost(t *testing.T) {
	host := xentest.New(nil)
	spec := guest("web1")
	first, err := host.Create(context.Background(), spec, nil)
	require.NoError(t, err)
	sent, received := move(host, host, spec, func(conn net.Conn) net.Conn { return conn })
	require.NoError(t, errors.Join(sent, received))
	d, err := host.Lookup(context.Background(), spec.UUID)
	require.NoError(t, err)
	assert.Greater(t, d.ID, first.ID)
	assert.Equal(t, "web1", d.Name)

	spec.Vifs = append(spec.Vifs, xen.Vif{Name: "web1.0", Bridge: "b", MAC: xen.MAC{2}})
	require.NoError(t, host.AttachVif(context.Background(), spec.UUID, xen.Vif{Name: "web1.0", Bridge: "b", MAC: xen.MAC{2}}))
	sent, received = move(host, host, spec, func(conn net.Conn) net.Conn { return conn })
	require.Error(t, sent)
	require.ErrorIs(t, received, fs.ErrExist)
	after, err := host.Lookup(context.Background(), spec.UUID)
	require.NoError(t, err)
	assert.Equal(t, d.ID, after.ID)
	assert.Equal(t, xen.Running, after.State)
}
