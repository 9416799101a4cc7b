package libvirt_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/libvirt"
	"github.com/xenhost/xenhost/xen/xentest"
)

// liveDriver starts libvirtd in this dom0 and returns a driver on its Xen
// driver.
func liveDriver(t *testing.T) *libvirt.Driver {
	t.Helper()
	tier.Require(t, tier.Dom0)
	driver := libvirt.New(&libvirt.Options{Socket: startLibvirtd(t, t.TempDir(), exec.Command("libvirtd")).socket})
	t.Cleanup(func() { assert.NoError(t, driver.Close()) })
	return driver
}

// TestLive is the suite on the Xen of this host, through libvirtd.
func TestLive(t *testing.T) {
	driver := liveDriver(t)
	f, err := driver.Features(t.Context())
	require.NoError(t, err)
	assert.Equal(t, xen.Features{Types: []xen.Type{xen.PVH, xen.PV}, Missing: []string{"rename"}}, f)
	xentest.TestDomains(t, live(driver, f.Types))
}

func live(driver *libvirt.Driver, types []xen.Type) xentest.Harness {
	guests := &guests{}
	return xentest.Harness{
		New:    func(*testing.T) xen.Domains { return driver },
		Spec:   func(t *testing.T, typ xen.Type) xen.Spec { return guests.onVolume(t, typ) },
		Types:  types,
		Booted: booted,
		// libvirt holds the guest until it has answered, for up to a minute, and
		// in a minute it boots and hears: xl takes its CPU behind libvirt's back.
		Deaf: func(t *testing.T, d xen.Domains, id uuid.UUID) {
			dom, err := d.Lookup(t.Context(), id)
			require.NoError(t, err)
			command(t, "xl", "pause", strconv.Itoa(dom.ID))
		},
		CreateTakes: 3 * time.Second,
	}
}

// TestLiveSpec starts a domain that differs from the defaults in all that it
// can, and asks xl what it became.
func TestLiveSpec(t *testing.T) {
	driver := liveDriver(t)
	spec := (&guests{n: 20}).onVolume(t, xen.PVH)
	spec.Name, spec.VCPUs, spec.MaxVCPUs = "suite-spec", 1, 2
	spec.MaxMemory, spec.Weight, spec.Cap = 160<<20, 512, 70
	spec.Cmdline += ` x="<&>]]>'é" --  end `
	spec.Disks[0].ReadOnly = true
	spec.OnReboot, spec.OnCrash = "destroy", "preserve"
	created, err := driver.Create(t.Context(), spec, &xen.CreateOptions{Paused: true})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, driver.Destroy(context.Background(), spec.UUID)) })
	assert.Equal(t, xen.Paused, created.State)

	var seen []struct {
		Config struct {
			Info    map[string]any   `json:"c_info"`
			Build   map[string]any   `json:"b_info"`
			Disks   []map[string]any `json:"disks"`
			Nics    []map[string]any `json:"nics"`
			OnCrash string           `json:"on_crash"`
		} `json:"config"`
	}
	text := command(t, "xl", "list", "-l", strconv.Itoa(created.ID))
	require.NoError(t, json.Unmarshal([]byte(text), &seen), text)
	require.Len(t, seen, 1)
	config := seen[0].Config
	assert.Equal(t, spec.Name, config.Info["name"])
	assert.Equal(t, spec.UUID.String(), config.Info["uuid"])
	assert.Equal(t, "pvh", config.Info["type"])
	for key, value := range map[string]any{
		"kernel": spec.Kernel, "ramdisk": spec.Ramdisk, "cmdline": spec.Cmdline, "tsc_mode": "native",
		"max_vcpus": 2.0, "max_memkb": 163840.0, "target_memkb": 131072.0,
	} {
		assert.Equal(t, value, config.Build[key], key)
	}
	assert.Equal(t, "preserve", config.OnCrash)
	require.Len(t, config.Disks, 1)
	assert.Equal(t, spec.Disks[0].Path, config.Disks[0]["pdev_path"])
	assert.Equal(t, "xvda", config.Disks[0]["vdev"])
	assert.Equal(t, "phy", config.Disks[0]["backend"])
	assert.NotContains(t, config.Disks[0], "readwrite")
	require.Len(t, config.Nics, 1)
	assert.Equal(t, spec.Vifs[0].Name, config.Nics[0]["ifname"])
	assert.Equal(t, spec.Vifs[0].Bridge, config.Nics[0]["bridge"])
	assert.Equal(t, spec.Vifs[0].MAC.String(), config.Nics[0]["mac"])
	shares := strings.Fields(command(t, "xl", "sched-credit2", "-d", strconv.Itoa(created.ID)))
	assert.Equal(t, []string{"512", "70"}, shares[len(shares)-2:])
}

// TestLiveSizes changes a guest that runs.
func TestLiveSizes(t *testing.T) {
	driver := liveDriver(t)
	spec := (&guests{n: 30}).onVolume(t, xen.PVH)
	spec.Name, spec.VCPUs, spec.MaxVCPUs, spec.MaxMemory = "suite-sizes", 2, 2, spec.Memory
	_, err := driver.Create(t.Context(), spec, nil)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, driver.Destroy(context.Background(), spec.UUID)) })
	booted(t, spec)
	sizes(t, driver, spec, false, true)
}

// guests makes specs that differ in all that must differ.
type guests struct{ n int }

func (g *guests) onVolume(t *testing.T, typ xen.Type) xen.Spec {
	t.Helper()
	g.n++
	volume := fmt.Sprintf("suite%d", g.n)
	spec := xen.Spec{
		UUID: uuid.New(), Type: typ, Memory: 128 << 20, VCPUs: 1,
		Kernel: xenlab.GuestKernel, Ramdisk: xenlab.GuestRamdisk,
		Cmdline: xenlab.Guest{Name: "suite", IP: fmt.Sprintf("192.168.0.%d/24", 100+g.n)}.Args(),
		Disks:   []xen.Disk{{Dev: "xvda", Path: filepath.Join("/dev/guests", volume)}},
		Vifs:    []xen.Vif{{Name: volume + ".0", Bridge: "xenint", MAC: xen.MAC{0, 0x16, 0x3e, 0, 1, byte(g.n)}}},
	}
	if typ == xen.PVH {
		spec.TSCMode = "native" // the emulated CPU needs it
	}
	command(t, "lvcreate", "-y", "-q", "-Wy", "-Zy", "-L", "16m", "-n", volume, "guests")
	t.Cleanup(func() { command(t, "lvremove", "-y", "-q", "guests/"+volume) })
	return spec
}

func command(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := dom0.Output(context.Background(), dom0.Local{}, argv...)
	require.NoError(t, err)
	return string(out)
}

// booted waits until the guest answers on its port 80.
func booted(t *testing.T, spec xen.Spec) {
	t.Helper()
	_, ip, _ := strings.Cut(spec.Cmdline, "g.ip=")
	ip, _, _ = strings.Cut(ip, "/")
	require.Eventually(t, func() bool {
		conn, err := net.DialTimeout("tcp", net.JoinHostPort(ip, "80"), 2*time.Second)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, 3*time.Minute, time.Second, "the guest answers at %s", ip)
}
