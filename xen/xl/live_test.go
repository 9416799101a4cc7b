package xl_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
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
	"github.com/xenhost/xenhost/xen/dom0/dom0test"
	"github.com/xenhost/xenhost/xen/xentest"
	"github.com/xenhost/xenhost/xen/xl"
	"github.com/xenhost/xenhost/xen/xlcfg"
)

// TestRecord records in a lab host what TestReplay replays. (TestLive and
// TestDryRun run there through internal/e2e.)
func TestRecord(t *testing.T) {
	if os.Getenv(dom0test.RecordEnv) != "1" {
		t.Skipf("records only with %s=1", dom0test.RecordEnv)
	}
	curacao := xenlab.Start(t, "curacao").MustHost(t, "curacao")
	const there = "/root/suite.txtar"
	o := &xenlab.TestOptions{Run: "TestReplay", Env: []string{dom0test.RecordEnv + "=1", recordingEnv + "=" + there}}
	result, err := curacao.GoTest(t.Context(), "github.com/xenhost/xenhost/xen/xl", o, t.Output())
	require.Equal(t, 1, result.Passed, "%v", err) // err: two cases are skipped
	require.NoError(t, curacao.Get(t.Context(), there, recording))
}

// TestLive is the suite on the Xen of this host.
func TestLive(t *testing.T) {
	tier.Require(t, tier.Dom0)
	guests := &guests{}
	xentest.TestDomains(t, xentest.Harness{
		New:         func(*testing.T) xen.Domains { return xl.New(dom0.Local{}, nil) },
		Spec:        func(t *testing.T, typ xen.Type) xen.Spec { return guests.onVolume(t, typ) },
		Types:       []xen.Type{xen.PVH, xen.PV},
		Booted:      booted,
		CreateTakes: 3 * time.Second,
	})
}

// TestRolesLive is the suite of the other roles on the Xen of this host.
func TestRolesLive(t *testing.T) {
	tier.Require(t, tier.Dom0)
	guests := &guests{}
	xentest.TestRoles(t, xentest.Harness{
		New:    func(*testing.T) xen.Domains { return xl.New(dom0.Local{}, nil) },
		Spec:   func(t *testing.T, typ xen.Type) xen.Spec { return guests.onVolume(t, typ) },
		Types:  []xen.Type{xen.PVH, xen.PV, xen.HVM},
		Booted: booted,
		Boots:  boots,
		Disk:   guests.volume,
		Image: func(t *testing.T) string {
			image := filepath.Join(t.TempDir(), "image.iso")
			require.NoError(t, os.WriteFile(image, make([]byte, 1<<20), 0o600))
			return image
		},
	})
}

// TestLabFull runs in the dom0 of a real Xen host what is too long for every
// change.
func TestLabFull(t *testing.T) {
	islay := xenlab.StartFull(t, "islay").MustHost(t, "islay")
	for _, part := range []string{"PVH", "PV$", "HVM", "(features|absent)"} {
		t.Run(strings.Trim(part, "()$"), func(t *testing.T) {
			islay.Test(t, "github.com/xenhost/xenhost/xen/xl", &xenlab.TestOptions{Run: "TestRolesLive/^" + part, Timeout: 30 * time.Minute})
		})
	}
}

// guests makes specs that differ in all that must differ, the same in each run.
type guests struct{ n int }

func (g *guests) next(typ xen.Type) xen.Spec {
	g.n++
	spec := xen.Spec{
		UUID: uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, "suite", g.n)), Type: typ, Memory: 128 << 20, VCPUs: 1,
		Kernel: xenlab.GuestKernel, Ramdisk: xenlab.GuestRamdisk,
		Cmdline: xenlab.Guest{Name: "suite", IP: g.ip() + "/24"}.Args(),
		Disks:   []xen.Disk{{Dev: "xvda", Path: fmt.Sprintf("/dev/guests/suite%d", g.n)}},
		Vifs:    []xen.Vif{{Name: fmt.Sprintf("suite%d.0", g.n), Bridge: "xenint", MAC: xen.MAC{0, 0x16, 0x3e, 0, 1, byte(g.n)}}},
	}
	if typ != xen.PV {
		spec.TSCMode = "native" // the emulated CPU needs it
	}
	if typ == xen.HVM {
		spec.Kernel, spec.Cmdline = "/lab/vmlinuz", strings.Replace(spec.Cmdline, "hvc0", "ttyS0", 1)
	}
	return spec
}

func (g *guests) ip() string { return fmt.Sprintf("192.168.0.%d", 100+g.n) }

func (g *guests) onVolume(t *testing.T, typ xen.Type) xen.Spec {
	t.Helper()
	spec := g.next(typ)
	volume(t, spec.Disks[0].Path)
	return spec
}

// volume makes one more.
func (g *guests) volume(t *testing.T) string {
	t.Helper()
	g.n++
	return volume(t, fmt.Sprintf("/dev/guests/suite%d", g.n))
}

func volume(t *testing.T, path string) string {
	t.Helper()
	name := filepath.Base(path)
	command(t, "lvcreate", "-y", "-q", "-Wy", "-Zy", "-L", "16m", "-n", name, "guests")
	t.Cleanup(func() { command(t, "lvremove", "-y", "-q", "guests/"+name) })
	return path
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
	ip := address(spec)
	require.Eventually(t, func() bool {
		conn, err := net.DialTimeout("tcp", net.JoinHostPort(ip, "80"), 2*time.Second)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, 3*time.Minute, time.Second, "the guest answers at %s", ip)
}

func address(spec xen.Spec) string {
	_, ip, _ := strings.Cut(spec.Cmdline, "g.ip=")
	ip, _, _ = strings.Cut(ip, "/")
	return ip
}

// boots asks the guest how often it has booted: it counts on its disk.
func boots(t *testing.T, spec xen.Spec) int {
	t.Helper()
	var state struct{ Boots int }
	require.Eventually(t, func() bool {
		client := http.Client{Timeout: 10 * time.Second}
		answer, err := client.Get("http://" + address(spec) + "/state")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		return json.NewDecoder(answer.Body).Decode(&state) == nil && state.Boots > 0
	}, 3*time.Minute, time.Second)
	return state.Boots
}

// TestDryRun gives configurations with difficult strings to xl's own parser and
// reads its JSON: each string arrives whole, and nothing else does.
func TestDryRun(t *testing.T) {
	tier.Require(t, tier.Dom0)
	base := (&guests{}).next(xen.PVH)
	for _, text := range []string{
		`plain`, `a "quoted" word`, `it's \ back\\slash \n \x41 \101`, `"; bootloader="/tmp/x`, "é\u2028 # no comment; [ ] = +=", `$(id) %s`,
	} {
		spec := base.Clone()
		spec.Name, spec.Cmdline, spec.Kernel = "suite-dry", text, "/lab/"+strings.TrimRight(strings.ReplaceAll(text, "/", "-"), "-")
		config, err := xlcfg.Render(spec)
		require.NoError(t, err)
		file := filepath.Join(t.TempDir(), "dry.cfg")
		require.NoError(t, os.WriteFile(file, []byte(config), 0o600))
		var seen struct {
			Info struct {
				Name string `json:"name"`
				UUID string `json:"uuid"`
			} `json:"c_info"`
			Build map[string]any   `json:"b_info"`
			Disks []map[string]any `json:"disks"`
			Nics  []map[string]any `json:"nics"`
		}
		require.NoError(t, json.Unmarshal([]byte(command(t, "xl", "-N", "create", file)), &seen), text)
		assert.Equal(t, spec.Name, seen.Info.Name)
		assert.Equal(t, spec.UUID.String(), seen.Info.UUID)
		assert.Equal(t, text, seen.Build["cmdline"])
		assert.Equal(t, spec.Kernel, seen.Build["kernel"])
		assert.NotContains(t, seen.Build, "bootloader")
		require.Len(t, seen.Disks, 1)
		assert.Equal(t, spec.Disks[0].Path, seen.Disks[0]["pdev_path"])
		assert.NotContains(t, seen.Disks[0], "script")
		require.Len(t, seen.Nics, 1)
		assert.Equal(t, spec.Vifs[0].Bridge, seen.Nics[0]["bridge"])
		assert.Equal(t, spec.Vifs[0].MAC.String(), seen.Nics[0]["mac"])
	}
}
