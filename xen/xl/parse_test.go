package xl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
)

func read(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return string(data)
}

func TestRecordedLists(t *testing.T) {
	dom0Only, err := parseList(read(t, "list-v-dom0.out"))
	require.NoError(t, err)
	assert.Empty(t, dom0Only)

	pv, err := parseList(read(t, "list-v-pv.out"))
	require.NoError(t, err)
	assert.Equal(t, []xen.Domain{{
		UUID: uuid.MustParse("875214f6-96ce-438f-be48-5747c6298420"), ID: 5, Name: "web1", State: xen.Running,
		Memory: 128 << 20, VCPUs: 1, CPUTime: 5200 * time.Millisecond,
	}}, pv)

	runnable, err := parseList(read(t, "list-v-runnable.out"))
	require.NoError(t, err)
	assert.Equal(t, xen.Running, runnable[0].State, "no letter at all")
	assert.Equal(t, 9700*time.Millisecond, runnable[0].CPUTime)
}

const head = "Name                                        ID   Mem VCPUs\tState\tTime(s)   UUID                            Reason-Code\tSecurity Label\n"

// tableRow is xl's own format.
func tableRow(name string, id, mem, vcpus int, letters string, seconds float64, dom uuid.UUID, reason string) string {
	return fmt.Sprintf("%-40s %5d %5d %5d     %s  %8.1f %s %8s %16s\n", name, id, mem, vcpus, letters, seconds, dom, reason, "-")
}

func TestListRows(t *testing.T) {
	id := uuid.New()
	for _, tc := range []struct {
		name    string
		mem     int
		vcpus   int
		letters string
		reason  string
		want    xen.State
		why     xen.Reason
	}{
		{"web1", 128, 1, "r-----", "-", xen.Running, ""},
		{"web1", 128, 1, "-b----", "-", xen.Running, ""},
		{"web1", 128, 1, "--p---", "-", xen.Paused, ""},
		{"(null)", 0, 0, "--p---", "-", xen.Building, ""},
		{"web1", 0, 0, "--p---", "-", xen.Building, ""},
		{"web1", 128, 1, "---s--", "0", xen.Stopped, xen.Poweroff},
		{"web1", 128, 1, "---sr-", "1", xen.Stopped, xen.Reboot},
		{"web1", 128, 1, "---ss-", "2", xen.Suspended, xen.Suspend},
		{"web1", 128, 1, "---sc-", "3", xen.Crashed, xen.Crash},
		{"web1", 128, 1, "---sw-", "4", xen.Crashed, xen.Watchdog},
		{"web1", 128, 1, "---sS-", "5", xen.Stopped, xen.SoftReset},
		{"web1", 128, 1, "--ps--", "0", xen.Stopped, xen.Poweroff},
		{"(null)", 0, 1, "--ps-d", "0", xen.Dying, xen.Poweroff},
		{"../../../tmp/evil", 128, 1, "-b----", "-", xen.Running, ""},
		{"a name of words 5 128 1     -b----", 128, 1, "-b----", "-", xen.Running, ""},
		{strings.Repeat("long", 30), 128, 1, "-b----", "-", xen.Running, ""},
		{"two\nlines", 128, 1, "-b----", "-", xen.Running, ""},
		{"", 128, 1, "-b----", "-", xen.Building, ""},
	} {
		table := head + tableRow("Domain-0", 0, 900, 1, "r-----", 45.4, uuid.Nil, "-") + tableRow(tc.name, 32751, tc.mem, tc.vcpus, tc.letters, 8388608.5, id, tc.reason)
		domains, err := parseList(table)
		require.NoError(t, err, table)
		require.Len(t, domains, 1, table)
		d := domains[0]
		assert.Equal(t, strings.TrimSuffix(tc.name, "(null)"), d.Name)
		assert.Equal(t, tc.want, d.State, table)
		assert.Equal(t, tc.why, d.Reason, table)
		assert.Equal(t, 32751, d.ID)
		assert.Equal(t, id, d.UUID)
		assert.Equal(t, 8388608500*time.Millisecond, d.CPUTime)
	}
}

func TestListRefusesWhatIsNoTable(t *testing.T) {
	for _, text := range []string{"", "nope\n", head + "half a row\n", strings.Replace(head, "UUID", "", 1)} {
		_, err := parseList(text)
		require.Error(t, err, text)
	}
}

func TestPickTheLiving(t *testing.T) {
	id := uuid.New()
	domains := []xen.Domain{{UUID: id, ID: 3, State: xen.Suspended}, {UUID: id, ID: 4, State: xen.Running}, {UUID: uuid.New(), ID: 5, State: xen.Running}}
	d, ok := pick(domains, id)
	require.True(t, ok)
	assert.Equal(t, 4, d.ID)
	_, ok = pick(domains, uuid.New())
	assert.False(t, ok)
}

func FuzzParseList(f *testing.F) {
	f.Add(read(f, "list-v-pv.out"))
	f.Add(head + tableRow("(null)", 1, 0, 0, "--p---", 0, uuid.New(), "-"))
	f.Fuzz(func(t *testing.T, text string) {
		domains, err := parseList(text)
		if err == nil {
			for _, d := range domains {
				require.Positive(t, d.ID)
				require.NotEmpty(t, d.State)
				require.GreaterOrEqual(t, d.CPUTime, time.Duration(0))
			}
		}
	})
}

func TestRecordedInfo(t *testing.T) {
	info, err := parseInfo(read(t, "info.out"))
	require.NoError(t, err)
	assert.Equal(t, xen.HostInfo{
		Hostname: "ehost", XenVersion: "4.17.7", VirtCaps: []string{"pv", "hvm", "hap", "gnttab-v1", "gnttab-v2"}, CPUs: 1, Scheduler: "credit2",
		TotalMemory: 2047 << 20, FreeMemory: 1124 << 20,
	}, info)
	_, err = parseInfo("host : x\n")
	require.Error(t, err)
}

func TestWhatXlSaid(t *testing.T) {
	for name, want := range map[string]struct {
		means error
		text  string
	}{
		"name-exists":                {fs.ErrExist, `Domain with name "web1" already exists.`},
		"name-exists-race":           {fs.ErrExist, `Domain with name "web1" already exists.`},
		"no-bridge":                  {xen.ErrInvalid, "script: Could not find bridge device nobr"},
		"no-disk":                    {xen.ErrInvalid, "Disk vdev=xvda failed to stat: /dev/guests/nodisk: No such file or directory"},
		"no-kernel":                  {xen.ErrInvalid, "failed to open file '/nope': No such file or directory: Internal error"},
		"no-memory":                  {xen.ErrNoMemory, "can't allocate low memory for domain: Out of memory"},
		"parse-minus":                {xen.ErrInvalid, "/lab/bad.cfg:13: config parsing error near `-1': lexical error"},
		"create-tsc-mode":            {nil, ""},
		"destroy-no-id":              {fs.ErrNotExist, "Non-existant domain"},
		"pause-no-id":                {fs.ErrNotExist, "Pausing domain: No such process"},
		"pause-no-name":              {fs.ErrNotExist, "nope is an invalid domain identifier (rc=-6)"},
		"rename-exists":              {fs.ErrExist, `Domain with name "pvh1" already exists.`},
		"rename-no-id":               {nil, "Can't rename domain '77'."},
		"shutdown-no-id":             {fs.ErrNotExist, "unable to get domain type for domid=77"},
		"unpause-not-paused":         {nil, "Unpausing domain: Invalid argument"},
		"mem-set-above-static-max":   {xen.ErrInvalid, "memory_dynamic_max must be less than or equal to memory_static_max"},
		"cd-insert-pv":               {errors.ErrUnsupported, "cdrom-insert requires an HVM domain"},
		"block-attach-busy":          {xen.ErrBusy, "script: Device /dev/dm-2 is mounted in a guest domain,"},
		"block-attach-exists":        {fs.ErrExist, "device already exists in xenstore"},
		"network-attach-no-bridge":   {xen.ErrInvalid, "script: Could not find bridge device nobridge"},
		"list-no-id":                 {fs.ErrNotExist, "Error: Domain '77' does not exist."},
		"list-no-name":               {fs.ErrNotExist, "nope is an invalid domain identifier (rc=-6)"},
		"domid-no-name":              {fs.ErrNotExist, "Can't get domid of domain name 'nope', maybe this domain does not exist."},
		"vcpu-pin-bad-cpu":           {xen.ErrInvalid, "Setting vcpu affinity: Invalid argument"},
		"vcpu-set-above-maxvcpus":    {xen.ErrInvalid, "Requested 5 VCPUs, however maxcpus is 4!: Function not implemented"},
		"block-detach-not-connected": {fs.ErrNotExist, "Error: Device xvdb not connected."},
		"network-detach-no-mac":      {fs.ErrNotExist, "Unknown device 00:16:3e:99:99:99."},
		"network-detach-residue":     {xen.ErrInvalid, "script: Could not find bridge device nobridge"},
		"migrate-vifname-clash":      {fs.ErrExist, "script: Cannot rename interface vif2.0. An interface with name pvh1.0 already exists."},
		"save-paused":                {xen.ErrNoAnswer, "guest didn't acknowledge suspend, cancelling request"},
		"save-enospc":                {nil, "Failed to write page data to stream (28 = No space left on device): Internal error"},
		"restore-name-exists":        {fs.ErrExist, `Domain with name "web1" already exists.`},
		"restore-pv":                 {nil, ""},
		"config-update":              {nil, ""},
		"sched-credit2-bad-weight":   {xen.ErrInvalid, "Cpu weight out of range, valid values are within range from 1 to 65535"},
		"block-attach-no-target":     {xen.ErrInvalid, "Disk vdev=xvdd failed to stat: /dev/guests/nope: No such file or directory"},
		"migrate-pv-no-shadow":       {errors.ErrUnsupported, "Failed to enable logdirty: 95,22,0 (22 = Invalid argument): Internal error"},
	} {
		t.Run(name, func(t *testing.T) {
			stderr := read(t, "said/"+name+".err")
			cause := &dom0.Error{Args: []string{"xl"}, ExitCode: 1, Stderr: stderr}
			e := explain(stderr, cause)
			var text *said
			require.ErrorAs(t, e, &text)
			assert.Equal(t, want.text, text.text)
			require.ErrorIs(t, e, error(cause))
			if want.means == nil {
				assert.NoError(t, text.means)
				return
			}
			require.ErrorIs(t, e, want.means)
			assert.Equal(t, want.means.Error()+": "+want.text, e.Error())
		})
	}
	files, err := os.ReadDir("testdata/said")
	require.NoError(t, err)
	assert.Len(t, files, 37)
}
