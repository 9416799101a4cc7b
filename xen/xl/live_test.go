package xl_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/lab/domu"
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
	guests := &domu.Guests{}
	xentest.TestDomains(t, xentest.Harness{
		New:         func(*testing.T) xen.Domains { return xl.New(dom0.Local{}, nil) },
		Spec:        func(t *testing.T, typ xen.Type) xen.Spec { return guests.OnVolume(t, typ) },
		Types:       []xen.Type{xen.PVH, xen.PV},
		Booted:      domu.Booted,
		CreateTakes: 3 * time.Second,
	})
}

// TestRolesLive is the suite of the other roles on the Xen of this host.
func TestRolesLive(t *testing.T) {
	tier.Require(t, tier.Dom0)
	guests := &domu.Guests{}
	xentest.TestRoles(t, xentest.Harness{
		New:    func(*testing.T) xen.Domains { return xl.New(dom0.Local{}, nil) },
		Spec:   func(t *testing.T, typ xen.Type) xen.Spec { return guests.OnVolume(t, typ) },
		Types:  []xen.Type{xen.PVH, xen.PV, xen.HVM},
		Booted: domu.Booted,
		Boots:  domu.Boots,
		Disk:   guests.Volume,
		Image:  domu.Image,
	})
}

// TestLabFull runs in the dom0 of a real Xen host what is too long for every
// change.
func TestLabFull(t *testing.T) {
	islay := xenlab.StartFull(t, "islay").MustHost(t, "islay")
	for _, part := range []string{"PVH", "PV$", "HVM", "(features|cpu|absent)"} {
		t.Run(strings.Trim(part, "()$"), func(t *testing.T) {
			islay.Test(t, "github.com/xenhost/xenhost/xen/xl", &xenlab.TestOptions{Run: "TestRolesLive/^" + part, Timeout: 30 * time.Minute})
		})
	}
}

// TestDryRun gives configurations with difficult strings to xl's own parser and
// reads its JSON: each string arrives whole, and nothing else does.
func TestDryRun(t *testing.T) {
	tier.Require(t, tier.Dom0)
	base := (&domu.Guests{}).Next(xen.PVH)
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
		require.NoError(t, json.Unmarshal([]byte(domu.Command(t, "xl", "-N", "create", file)), &seen), text)
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
