package xl

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
)

func TestMemory(t *testing.T) {
	h, id := one(t)
	h.do = func(context.Context, dom0.Cmd, string) error { return nil } // exit 0 without effect, as recorded
	err := h.driver("").SetMemory(t.Context(), id, 160<<20)
	require.ErrorIs(t, err, xen.ErrNoAnswer)
	require.ErrorContains(t, err, "it has 128 MiB")
	require.NoError(t, h.driver("").SetMemory(t.Context(), id, 128<<20))
	assert.Equal(t, []string{"xl mem-set 7 160m", "xl mem-set 7 128m"}, h.said)
	require.ErrorIs(t, h.driver("").SetMemory(t.Context(), id, 257<<20), xen.ErrInvalid)

	h.shows["xl list -l 7"] = strings.Replace(h.shows["xl list -l 7"], "262144", "4194304", 1)
	require.ErrorIs(t, h.driver("").SetMemory(t.Context(), id, 1200<<20), xen.ErrNoMemory)
	h.domains[0].letters = "--p---"
	require.ErrorIs(t, h.driver("").SetMemory(t.Context(), id, 100<<20), xen.ErrBusy)
	assert.Len(t, h.said, 2)
}

func TestVCPUsThatTheGuestKeeps(t *testing.T) {
	h, id := one(t)
	h.do = func(context.Context, dom0.Cmd, string) error { return nil }
	err := h.driver("").SetVCPUs(t.Context(), id, 1)
	require.ErrorIs(t, err, xen.ErrNoAnswer)
	require.ErrorContains(t, err, "it uses 2 vCPUs")
	h.shows["xl vcpu-list 7"] = vcpuTable("0", "all", "-", "all")
	require.NoError(t, h.driver("").SetVCPUs(t.Context(), id, 1))
	assert.Equal(t, []string{"xl vcpu-set -i 7 1", "xl vcpu-set -i 7 1"}, h.said)
}

// xl exits 0 when it can not pin.
func TestPinThatLies(t *testing.T) {
	h, id := one(t)
	h.shows["xl info"] = ""
	h.do = func(_ context.Context, cmd dom0.Cmd, _ string) error {
		_, _ = cmd.Stderr.Write([]byte(read(t, "said/vcpu-pin-bad-cpu.err")))
		return nil
	}
	d := h.driver("")
	require.NoError(t, d.Pin(t.Context(), id, 1, xen.CPUSet{0}, nil), "all is CPU 0 on a host with one")
	h.shows["xl vcpu-list 7"] = vcpuTable("0", "all", "0", "5")
	require.ErrorIs(t, d.Pin(t.Context(), id, 1, xen.CPUSet{0}, nil), xen.ErrInvalid)
	assert.Equal(t, []string{"xl vcpu-pin 7 1 0 all", "xl vcpu-pin 7 1 0 all"}, h.said)
}

func TestShareThatLies(t *testing.T) {
	h, id := one(t)
	h.do = func(context.Context, dom0.Cmd, string) error { return nil }
	require.ErrorContains(t, h.driver("").SetShare(t.Context(), id, xen.Share{Weight: 512, Cap: 50}), "it has weight 256 and cap 0")
	assert.Equal(t, []string{"xl sched-credit2 -d 7 -w 512 -c 50"}, h.said)
}

func TestConfigUpdateThatSaysNothing(t *testing.T) {
	h, id := one(t)
	h.do = func(context.Context, dom0.Cmd, string) error { return nil }
	s := spec()
	s.UUID = id
	require.ErrorContains(t, h.driver(t.TempDir()).UpdateConfig(t.Context(), s), "does not say")
	s.Name = "web2"
	require.ErrorIs(t, h.driver(t.TempDir()).UpdateConfig(t.Context(), s), xen.ErrInvalid)
	assert.Len(t, h.said, 1)
}

func TestConfigOfAnotherDomain(t *testing.T) {
	h, id := one(t)
	h.shows["xl list -l 7"] = strings.Replace(h.shows["xl list -l 7"], id.String(), "8aa1a82e-33ab-48cc-8b1b-630f0ce4b1fa", 1)
	_, err := h.driver("").Config(t.Context(), id)
	require.ErrorContains(t, err, "another domain by now")
	h.shows["xl list -l 7"] = "[]"
	_, err = h.driver("").Config(t.Context(), id)
	require.ErrorContains(t, err, "does not show")
}

func TestReboot(t *testing.T) {
	for name, c := range map[string]struct {
		do    func(*host)
		means error
		text  string
	}{
		"comes back":       {func(h *host) { h.domains[0].id = 8 }, nil, ""},
		"runs on":          {func(*host) {}, xen.ErrNoAnswer, ""},
		"has no monitor":   {func(h *host) { h.domains[0].letters, h.domains[0].reason = "---sr-", "1" }, xen.ErrBusy, "nothing starts it again"},
		"is gone for good": {func(h *host) { h.domains = nil }, nil, "nothing starts it again"},
	} {
		t.Run(name, func(t *testing.T) {
			h, id := one(t)
			h.do = func(context.Context, dom0.Cmd, string) error { c.do(h); return nil }
			d, err := h.driver("").Reboot(t.Context(), id, &xen.RebootOptions{Grace: 50 * time.Millisecond})
			switch {
			case c.means != nil:
				require.ErrorIs(t, err, c.means)
			case c.text == "":
				require.NoError(t, err)
				assert.Equal(t, 8, d.ID)
			}
			if c.text != "" {
				require.ErrorContains(t, err, c.text)
			}
			assert.Equal(t, []string{"xl reboot 7"}, h.said)
		})
	}
}

// A guest that has no driver for it says no at once.
func TestRebootThatCanNotBeAskedFor(t *testing.T) {
	h, id := one(t)
	h.do = func(_ context.Context, cmd dom0.Cmd, _ string) error {
		return fail(cmd, "libxl: error: libxl_domain.c:1:f: Domain 7:PV control interface not available\n")
	}
	_, err := h.driver("").Reboot(t.Context(), id, nil)
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

func TestMedia(t *testing.T) {
	h, id := one(t)
	require.ErrorIs(t, h.driver("").Insert(t.Context(), id, "hdc", "/srv/a.iso"), errors.ErrUnsupported)
	h.shows["xl list -l 7"] = strings.NewReplacer(`"pvh"`, `"hvm"`, `"disks":[`, `"disks":[{"pdev_path":"/srv/old.iso","vdev":"hdc","is_cdrom":1},`).Replace(h.shows["xl list -l 7"])
	h.do = func(context.Context, dom0.Cmd, string) error { return nil }
	require.ErrorContains(t, h.driver("").Insert(t.Context(), id, "hdc", "/srv/a.iso"), "not as it should be")
	require.ErrorContains(t, h.driver("").Eject(t.Context(), id, "hdc"), "not as it should be")
	require.NoError(t, h.driver("").Insert(t.Context(), id, "hdc", "/srv/old.iso"))
	assert.Equal(t, []string{"xl cd-insert 7 hdc /srv/a.iso", "xl cd-eject 7 hdc", "xl cd-insert 7 hdc /srv/old.iso"}, h.said)
}
