package libvirt

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	rpc "github.com/digitalocean/go-libvirt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/ptytest"
)

// shows has libvirtd show the domain with these devices.
func shows(t *testing.T, devices string) (*daemon, *Driver, xen.Spec) {
	d, spec := startDaemon(t), testSpec(t)
	g := running(spec)
	g.xml = fmt.Sprintf("<domain type='xen'><uuid>%s</uuid><memory unit='KiB'>131072</memory><vcpu>1</vcpu><os><type>hvm</type></os><devices>%s</devices></domain>", spec.UUID, devices)
	d.domains = []guest{g}
	return d, d.driver(), spec
}

func TestConsole(t *testing.T) {
	master, path := ptytest.New(t)
	_, d, spec := shows(t, "<console type='pty' tty='"+path+"'><source path='"+path+"'/><target type='xen' port='0'/></console>")
	c, err := d.Console(t.Context(), spec.UUID)
	require.NoError(t, err)
	_, err = master.Write([]byte("login: "))
	require.NoError(t, err)
	got := make([]byte, 7)
	_, err = io.ReadFull(c, got)
	require.NoError(t, err)
	assert.Equal(t, "login: ", string(got))
	require.NoError(t, c.Close())
	_, d, spec = shows(t, "<serial type='pty'><source path='/etc/shadow'/></serial>")
	_, err = d.Console(t.Context(), spec.UUID)
	require.ErrorContains(t, err, "is no terminal")
	_, d, spec = shows(t, "<serial type='tcp'/>")
	_, err = d.Console(t.Context(), spec.UUID)
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

func TestScreen(t *testing.T) {
	for devices, want := range map[string]string{
		"<graphics type='vnc' port='5901' autoport='yes' listen='127.0.0.1'><listen type='address' address='127.0.0.1'/></graphics>": "127.0.0.1:5901",
		"<graphics type='vnc' port='5900'/>": "127.0.0.1:5900",
	} {
		_, d, spec := shows(t, devices)
		at, err := d.Screen(t.Context(), spec.UUID)
		require.NoError(t, err)
		assert.Equal(t, netip.MustParseAddrPort(want), at)
	}
	for _, devices := range []string{"", "<graphics type='spice' port='5900'/>"} {
		_, d, spec := shows(t, devices)
		_, err := d.Screen(t.Context(), spec.UUID)
		require.ErrorIs(t, err, errors.ErrUnsupported, devices)
	}
}

// The port of a screen comes a moment after the start.
func TestScreenThatComesLater(t *testing.T) {
	d, driver, spec := shows(t, "<graphics type='vnc' port='-1' autoport='yes'/>")
	late := time.AfterFunc(50*time.Millisecond, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.domains[0].xml = "<domain><devices><graphics type='vnc' port='5902'/></devices></domain>"
	})
	defer late.Stop()
	at, err := driver.Screen(t.Context(), spec.UUID)
	require.NoError(t, err)
	assert.Equal(t, uint16(5902), at.Port())
}

func TestMedia(t *testing.T) {
	const empty, full = "<disk type='file' device='cdrom'><target dev='hdc' bus='ide'/><readonly/></disk>", "<disk type='file' device='cdrom'><source file='/dev/null.iso'/><target dev='hdc' bus='ide'/><readonly/></disk>"
	d, driver, spec := shows(t, full)
	lies := true
	d.answer = func(proc uint32, args []byte) (xdr, *rpc.Error, bool) {
		if proc == procUpdate && !lies {
			assert.NotContains(t, string(args), "source", "an empty drive")
			d.mu.Lock()
			defer d.mu.Unlock()
			d.domains[0].xml = "<domain><uuid>" + spec.UUID.String() + "</uuid><memory>1</memory><vcpu>1</vcpu><os><type>hvm</type></os><devices>" + empty + "</devices></domain>"
		}
		return nil, nil, proc == procUpdate
	}
	require.ErrorContains(t, driver.Eject(t.Context(), spec.UUID, "hdc"), "not as it should be")
	lies = false
	require.NoError(t, driver.Eject(t.Context(), spec.UUID, "hdc"))
	require.ErrorIs(t, driver.Insert(t.Context(), spec.UUID, "hdc", "/nope.iso"), xen.ErrInvalid)
	require.ErrorIs(t, driver.Insert(t.Context(), spec.UUID, "hdc", "/etc/passwd"), xen.ErrInvalid)
}

// A reboot gives the domain another domid, and Xen's default share.
func TestReboot(t *testing.T) {
	d, driver, spec := shows(t, "")
	d.domains[0].xml = "<domain><uuid>" + spec.UUID.String() + "</uuid><memory>131072</memory><vcpu>1</vcpu><os><type>linux</type></os><on_reboot>restart</on_reboot></domain>"
	share := xen.Share{Weight: 512, Cap: 20}
	set := 0
	d.answer = func(proc uint32, args []byte) (xdr, *rpc.Error, bool) {
		switch proc {
		case procReboot:
			d.mu.Lock()
			defer d.mu.Unlock()
			d.domains[0].ID = 3
			return nil, nil, true
		case procSchedParams:
			return xdr(nil).u32(2).str(weightField).u32(2).u32(uint32(share.Weight)).str(capField).u32(2).u32(uint32(share.Cap)), nil, true
		case procSetSched:
			set++
			return nil, nil, true
		}
		return nil, nil, false
	}
	again, err := driver.Reboot(t.Context(), spec.UUID, nil)
	require.NoError(t, err)
	assert.Equal(t, 3, again.ID)
	assert.Equal(t, 1, set)
	d.domains[0].xml = "<domain><uuid>" + spec.UUID.String() + "</uuid><memory>131072</memory><vcpu>1</vcpu><os><type>linux</type></os><on_reboot>destroy</on_reboot></domain>"
	_, err = driver.Reboot(t.Context(), spec.UUID, nil)
	require.ErrorIs(t, err, xen.ErrInvalid)
}
