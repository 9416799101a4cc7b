package host_test

import (
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
