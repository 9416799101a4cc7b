package host_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/lvm/lvmtest"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/networktest"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
	"github.com/xenhost/xenhost/xen/xentest"
)

// world is a host on fakes.
type world struct {
	*host.Host
	domains *xentest.Fake
	volumes *lvmtest.Fake
	network *networktest.Fake
	state   string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		domains: xentest.New(nil),
		volumes: lvmtest.New(t.TempDir(), lvmtest.GroupSpec{Name: "guests"}),
		network: networktest.New(nil),
		state:   t.TempDir(),
	}
	w.Host = host.New(host.Config{Name: "curacao", Domains: w.domains, Volumes: w.volumes, Network: w.network, StateDir: w.state})
	return w
}

var id = uuid.MustParse("7f3a0c1e-0000-4000-8000-000000000001")

func web1(t *testing.T) host.Guest {
	t.Helper()
	mac, err := xen.ParseMAC("00:16:3e:00:00:01")
	require.NoError(t, err)
	return host.Guest{
		UUID: id, Name: "web1", Type: xen.PVH, Memory: 128 << 20, VCPUs: 1, Kernel: "/lab/vmlinuz", Cmdline: "g.name=web1",
		Disks: []host.Disk{{Dev: "xvda", Volume: lvm.ID{Group: "guests", Name: "web1"}, Size: 8 << 20}},
		Nics:  []host.Nic{{Bridge: "xenint", MAC: mac, Addresses: []netip.Addr{netip.MustParseAddr("192.168.0.10")}}},
		Forwards: []network.Forward{
			{Proto: network.TCP, Port: 8080, To: netip.MustParseAddrPort("192.168.0.10:80")},
		},
	}
}

// content is what a volume of the fake holds.
func (w *world) content(t *testing.T, volume lvm.ID) []byte {
	t.Helper()
	d, err := w.volumes.Open(t.Context(), volume)
	require.NoError(t, err)
	defer d.Close()
	b := make([]byte, d.Size())
	_, err = d.ReadAt(b, 0)
	require.NoError(t, err)
	return b
}

func TestProvision(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	image := bytes.Repeat([]byte("image "), 300_000)
	var last int64
	plain := web1(t)
	plain.Type, plain.VCPUs = "", 0
	g, err := w.Provision(ctx, plain, &host.ProvisionOptions{
		Images:   map[string]io.Reader{"xvda": bytes.NewReader(image)},
		Progress: func(_ string, done int64) { last = done },
	})
	require.NoError(t, err)
	assert.Equal(t, web1(t), g, "PVH and one vCPU are the defaults")
	assert.Equal(t, int64(len(image)), last)

	s, err := w.Guest(ctx, id)
	require.NoError(t, err)
	assert.Equal(t, g, s.Guest)
	assert.Equal(t, owner.Running, s.Owner.State)
	assert.Equal(t, uint64(1), s.Owner.Epoch)
	require.NotNil(t, s.Domain)
	assert.Equal(t, xen.Running, s.Domain.State)
	require.Len(t, s.Volumes, 1)
	assert.Equal(t, []string{"xenhost.guest=" + id.String()}, s.Volumes[0].Tags)
	disk := w.content(t, g.Disks[0].Volume)
	assert.True(t, bytes.HasPrefix(disk, image))
	assert.Zero(t, bytes.Trim(disk[len(image):], "\x00"), "the rest reads as zeros")

	owns, to, ok := w.network.Lookup(network.TCP, 8080)
	assert.True(t, ok)
	assert.Equal(t, id, owns)
	assert.Equal(t, "192.168.0.10:80", to.String())

	_, err = w.Provision(ctx, web1(t), nil)
	require.ErrorIs(t, err, fs.ErrExist, "the same UUID")
	other := web1(t)
	other.UUID, other.Disks[0].Volume.Name = uuid.New(), "other"
	_, err = w.Provision(ctx, other, nil)
	require.ErrorIs(t, err, fs.ErrExist, "the same name")
	_, err = w.volumes.Volume(ctx, other.Disks[0].Volume)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// Whatever fails, nothing stays, and the same guest can be provisioned then.
func TestProvisionFails(t *testing.T) {
	boom := errors.New("boom")
	for name, fail := range map[string]func(*world){
		"create volume":       func(w *world) { w.volumes.Fail("create", boom) },
		"create volume, late": func(w *world) { w.volumes.FailAfter("create", boom) },
		"wipe":                func(w *world) { w.volumes.Fail("wipe", boom) },
		"open":                func(w *world) { w.volumes.Fail("open", boom) },
		"write":               func(w *world) { w.volumes.FailWrite(1, boom) },
		"tag":                 func(w *world) { w.volumes.Fail("tag", boom) },
		"tag, late":           func(w *world) { w.volumes.FailAfter("tag", boom) },
		"network":             func(w *world) { w.network.Fail("set", boom) },
		"network, late":       func(w *world) { w.network.FailAfter("set", boom) },
		"create domain":       func(w *world) { w.domains.Fail("create", boom) },
		"create domain, late": func(w *world) { w.domains.FailAfter("create", boom) },
	} {
		t.Run(name, func(t *testing.T) {
			w, ctx := newWorld(t), t.Context()
			before := w.volumes.String() + w.network.String() + w.domains.String()
			fail(w)
			_, err := w.Provision(ctx, web1(t), &host.ProvisionOptions{Images: map[string]io.Reader{"xvda": bytes.NewReader([]byte("image"))}})
			require.ErrorIs(t, err, boom)
			assert.Equal(t, before, w.volumes.String()+w.network.String()+w.domains.String())
			files, err := filepath.Glob(filepath.Join(w.state, "guests", "*.json"))
			require.NoError(t, err)
			assert.Empty(t, files)
			_, err = w.Provision(ctx, web1(t), nil)
			require.NoError(t, err)
		})
	}
}

func TestImageTooLarge(t *testing.T) {
	w := newWorld(t)
	_, err := w.Provision(t.Context(), web1(t), &host.ProvisionOptions{
		Images: map[string]io.Reader{"xvda": bytes.NewReader(make([]byte, 8<<20+1))},
	})
	require.ErrorIs(t, err, host.ErrInvalid)
	require.ErrorContains(t, err, "larger than the disk (8388608 bytes)")
}

func TestProvisionRefuses(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	twice := web1(t)
	twice.Disks = append(twice.Disks, twice.Disks[0])
	twice.Disks[1].Dev = "xvdb"
	long := web1(t)
	long.Disks[0].Volume.Name = "a" + fmt.Sprintf("%062d", 0)
	empty := web1(t)
	empty.Disks[0].Size = 0
	evil := web1(t)
	evil.Name = "../../etc/x"
	for name, g := range map[string]host.Guest{"a volume twice": twice, "no room for a snapshot's name": long, "no size": empty, "a path as name": evil} {
		_, err := w.Provision(ctx, g, nil)
		require.Error(t, err, name)
		files, _ := filepath.Glob(filepath.Join(w.state, "guests", "*"))
		assert.Empty(t, files, name)
	}
	// A volume of that name that is not ours stays as it is.
	_, err := w.volumes.Create(ctx, lvm.Spec{ID: lvm.ID{Group: "guests", Name: "web1"}, Size: 8 << 20})
	require.NoError(t, err)
	_, err = w.Provision(ctx, web1(t), nil)
	require.ErrorIs(t, err, fs.ErrExist)
	_, err = w.volumes.Volume(ctx, lvm.ID{Group: "guests", Name: "web1"})
	require.NoError(t, err)
}

func TestStopStartTerminate(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	_, err := w.Provision(ctx, web1(t), nil)
	require.NoError(t, err)
	first, err := w.domains.Lookup(ctx, id)
	require.NoError(t, err)
	require.NoError(t, w.Start(ctx, id), "it runs already")

	how, err := w.Stop(ctx, id)
	require.NoError(t, err)
	assert.Equal(t, xen.Clean, how)
	_, err = w.domains.Lookup(ctx, id)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = w.Stop(ctx, id)
	require.NoError(t, err, "it is off already")

	report, err := w.Boot(ctx)
	require.NoError(t, err)
	assert.Empty(t, report.Started, "what was stopped stays off")
	require.NoError(t, w.Start(ctx, id))
	again, err := w.domains.Lookup(ctx, id)
	require.NoError(t, err)
	assert.NotEqual(t, first.ID, again.ID)

	require.NoError(t, w.Terminate(ctx, id))
	_, err = w.Guest(ctx, id)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = w.volumes.Volume(ctx, web1(t).Disks[0].Volume)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, _, ok := w.network.Lookup(network.TCP, 8080)
	assert.False(t, ok)
	require.ErrorIs(t, w.Terminate(ctx, id), fs.ErrNotExist)
	require.ErrorIs(t, w.Start(ctx, id), fs.ErrNotExist)
}

func TestTerminateKeepsWhatIsForeign(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	_, err := w.Provision(ctx, web1(t), nil)
	require.NoError(t, err)
	vol := web1(t).Disks[0].Volume
	require.NoError(t, w.volumes.Tag(ctx, vol, nil, []string{"xenhost.guest=" + id.String()}))
	require.ErrorIs(t, w.Start(t.Context(), uuid.New()), fs.ErrNotExist)
	_, err = w.Stop(ctx, id)
	require.NoError(t, err)
	require.ErrorIs(t, w.Start(ctx, id), host.ErrForeign)
	require.NoError(t, w.Terminate(ctx, id))
	_, err = w.volumes.Volume(ctx, vol)
	require.NoError(t, err, "a volume without our mark is nobody's to remove")
}

func TestOneOperationAtATime(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	_, err := w.Provision(ctx, web1(t), nil)
	require.NoError(t, err)
	l, err := w.Hold(id)
	require.NoError(t, err)
	require.ErrorIs(t, w.Start(ctx, id), host.ErrBusy)
	_, err = w.Stop(ctx, id)
	require.ErrorIs(t, err, host.ErrBusy)
	require.ErrorIs(t, w.Terminate(ctx, id), host.ErrBusy)
	_, err = w.Guest(ctx, id)
	require.NoError(t, err, "looking is free")
	l.Release()
	l.Release()
	require.NoError(t, w.Start(ctx, id))
}

// The hold of a process that is killed ends with it.
func TestHoldDiesWithItsProcess(t *testing.T) {
	if dir := os.Getenv("HOLD_IN"); dir != "" {
		h := host.New(host.Config{Name: "curacao", StateDir: dir})
		l, err := h.Hold(id)
		require.NoError(t, err)
		defer l.Release()
		fmt.Println("held")
		select {}
	}
	w := newWorld(t)
	child := exec.Command(os.Args[0], "-test.run=^TestHoldDiesWithItsProcess$")
	child.Env = append(os.Environ(), "HOLD_IN="+w.state)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	_, err = io.ReadFull(out, make([]byte, 4))
	require.NoError(t, err)
	_, err = w.Hold(id)
	require.ErrorIs(t, err, host.ErrBusy)
	require.NoError(t, child.Process.Kill())
	_ = child.Wait()
	l, err := w.Hold(id)
	require.NoError(t, err)
	l.Release()
}

func TestFind(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	g, err := w.Provision(ctx, web1(t), &host.ProvisionOptions{Stopped: true})
	require.NoError(t, err)
	for _, what := range []string{"web1", id.String()} {
		found, err := w.Find(ctx, what)
		require.NoError(t, err)
		assert.Equal(t, g, found)
	}
	_, err = w.Find(ctx, "web2")
	require.ErrorIs(t, err, fs.ErrNotExist)
	all, err := w.Guests(ctx)
	require.NoError(t, err)
	require.Len(t, all, 1)
	assert.Nil(t, all[0].Domain)
}

func TestUnreadableFilesStopEverything(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	_, err := w.Provision(ctx, web1(t), &host.ProvisionOptions{Stopped: true})
	require.NoError(t, err)
	path := filepath.Join(w.state, "guests", id.String()+".json")
	for _, content := range []string{"{", `{"format":2}`, `{"format":1,"guest":{}}`} {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		require.ErrorContains(t, w.Start(ctx, id), "definition "+path, content)
	}
}

func TestCancelledProvisionTakesBack(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := w.Provision(ctx, web1(t), &host.ProvisionOptions{
		Images:   map[string]io.Reader{"xvda": bytes.NewReader(make([]byte, 4<<20))},
		Progress: func(string, int64) { cancel() },
	})
	require.ErrorIs(t, err, context.Canceled)
	_, err = w.volumes.Volume(t.Context(), web1(t).Disks[0].Volume)
	require.ErrorIs(t, err, fs.ErrNotExist)
}
