package libvirt_test

import (
	"context"
	"encoding/json"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/lab/domu"
	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/xen"
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
	assert.Equal(t, xen.Features{
		Types: []xen.Type{xen.PVH, xen.HVM, xen.PV}, Missing: []string{"rename", "update config", "save and leave paused"},
	}, f)
	xentest.TestDomains(t, live(driver, []xen.Type{xen.PVH, xen.PV}))
}

// TestRolesLive is the suite of the other roles on the Xen of this host, through
// libvirtd.
func TestRolesLive(t *testing.T) {
	driver := liveDriver(t)
	guests := domu.From(40)
	xentest.TestRoles(t, xentest.Harness{
		New:    func(*testing.T) xen.Domains { return driver },
		Spec:   func(t *testing.T, typ xen.Type) xen.Spec { return guests.OnVolume(t, typ) },
		Types:  []xen.Type{xen.PVH, xen.PV, xen.HVM},
		Booted: domu.Booted,
		Boots:  domu.Boots,
		Disk:   guests.Volume,
		Image:  domu.Image,
	})
}

// TestResidueLive has an attach fail where only libxl's script can see why, and
// looks by xl whether anything of it is left.
func TestResidueLive(t *testing.T) {
	driver := liveDriver(t)
	guests := domu.From(35)
	spec := guests.OnVolume(t, xen.PVH)
	spec.Name = "suite-residue"
	dom, err := driver.Create(t.Context(), spec, nil)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, driver.Destroy(context.Background(), spec.UUID)) })
	domu.Booted(t, spec)
	volume := guests.Volume(t)
	domu.Command(t, "mkfs.ext4", "-q", volume)
	at := t.TempDir()
	domu.Command(t, "mount", volume, at)
	list := func() string { return domu.Command(t, "xl", "block-list", strconv.Itoa(dom.ID)) }
	before := list()
	err = driver.AttachDisk(t.Context(), spec.UUID, xen.Disk{Dev: "xvdb", Path: volume})
	domu.Command(t, "umount", at)
	t.Log(err)
	require.Error(t, err, "dom0 has it mounted")
	assert.NotErrorIs(t, err, xen.ErrDirty)
	assert.Equal(t, before, list(), "nothing is left")
	require.NoError(t, driver.AttachDisk(t.Context(), spec.UUID, xen.Disk{Dev: "xvdb", Path: volume}), "and it can be attached now")
	require.NoError(t, driver.DetachDisk(t.Context(), spec.UUID, "xvdb"))
	assert.Equal(t, before, list())
}

func live(driver *libvirt.Driver, types []xen.Type) xentest.Harness {
	guests := &domu.Guests{}
	return xentest.Harness{
		New:    func(*testing.T) xen.Domains { return driver },
		Spec:   func(t *testing.T, typ xen.Type) xen.Spec { return guests.OnVolume(t, typ) },
		Types:  types,
		Booted: domu.Booted,
		// libvirt holds the guest until it has answered, for up to a minute, and
		// in a minute it boots and hears: xl takes its CPU behind libvirt's back.
		Deaf: func(t *testing.T, d xen.Domains, id uuid.UUID) {
			dom, err := d.Lookup(t.Context(), id)
			require.NoError(t, err)
			domu.Command(t, "xl", "pause", strconv.Itoa(dom.ID))
		},
		CreateTakes: 3 * time.Second,
	}
}

// TestLiveSpec starts a domain that differs from the defaults in all that it
// can, and asks xl what it became.
func TestLiveSpec(t *testing.T) {
	driver := liveDriver(t)
	spec := domu.From(20).OnVolume(t, xen.PVH)
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
	text := domu.Command(t, "xl", "list", "-l", strconv.Itoa(created.ID))
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
	shares := strings.Fields(domu.Command(t, "xl", "sched-credit2", "-d", strconv.Itoa(created.ID)))
	assert.Equal(t, []string{"512", "70"}, shares[len(shares)-2:])
}

// TestLiveSizes changes a guest that runs.
func TestLiveSizes(t *testing.T) {
	driver := liveDriver(t)
	spec := domu.From(30).OnVolume(t, xen.PVH)
	spec.Name, spec.VCPUs, spec.MaxVCPUs, spec.MaxMemory = "suite-sizes", 2, 2, spec.Memory
	_, err := driver.Create(t.Context(), spec, nil)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, driver.Destroy(context.Background(), spec.UUID)) })
	domu.Booted(t, spec)
	sizes(t, driver, spec, false, true)
}
