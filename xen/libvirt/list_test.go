package libvirt

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"testing"
	"time"

	rpc "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
)

// dom0, a domain as it was recorded, one without a domid, a definition.
func TestList(t *testing.T) {
	d, spec := startDaemon(t), testSpec(t)
	dom0 := guest{Domain: rpc.Domain{Name: "Domain-0"}, state: 1}
	other := running(spec)
	other.Name, other.UUID, other.ID, other.state = "web2", rpc.UUID(uuid.New()), 1, int32(rpc.DomainPaused)
	building := guest{Domain: rpc.Domain{Name: "web3", UUID: rpc.UUID(uuid.New()), ID: notRunning}}
	d.domains = []guest{dom0, running(spec), other, building}
	d.define("web4", uuid.New())
	got, err := d.driver().List(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []xen.Domain{
		{UUID: uuid.UUID(building.UUID), ID: -1, Name: "web3", State: xen.Building},
		{UUID: uuid.UUID(other.UUID), ID: 1, Name: "web2", State: xen.Paused, Memory: 128 << 20, VCPUs: 1, CPUTime: 9580021760},
		{UUID: spec.UUID, ID: 2, Name: "web1", State: xen.Running, Memory: 128 << 20, VCPUs: 1, CPUTime: 9*time.Second + 580021760},
	}, got)
}

// A domain that ends between two questions is not there, and not an error.
func TestListWhileOneEnds(t *testing.T) {
	for _, proc := range []uint32{procState, procInfo, procPersistent} {
		d, spec := startDaemon(t), testSpec(t)
		building := guest{Domain: rpc.Domain{Name: "web3", UUID: rpc.UUID(uuid.New()), ID: notRunning}}
		d.domains = []guest{running(spec), building}
		d.answer = func(p uint32, _ []byte) (xdr, *rpc.Error, bool) { return nil, &rpc.Error{Code: 42}, p == proc }
		got, err := d.driver().List(t.Context())
		require.NoError(t, err)
		assert.Len(t, got, 1, proc)
	}
}

// While a guest reboots libvirtd still has the domid that Xen has ended, and
// says "internal error: libxl_domain_info failed for domain '12'".
func TestListWhileOneReboots(t *testing.T) {
	d, spec := startDaemon(t), testSpec(t)
	d.domains = []guest{running(spec)}
	d.answer = func(p uint32, _ []byte) (xdr, *rpc.Error, bool) {
		return nil, &rpc.Error{Code: 1, Message: "internal error: libxl_domain_info failed for domain '2'"}, p == procInfo
	}
	got, err := d.driver().Lookup(t.Context(), spec.UUID)
	require.NoError(t, err)
	assert.Equal(t, xen.Domain{UUID: spec.UUID, ID: 2, Name: spec.Name, State: xen.Dying}, got)
}

// A PVH domain of 128 MiB, as it was recorded.
func TestMemoryIsInWholeMiB(t *testing.T) {
	assert.Equal(t, int64(128<<20), wholeMiB(131140))
	assert.Equal(t, int64(127<<20), wholeMiB(131071))
	assert.Positive(t, wholeMiB(1<<64-1))
}

func TestStates(t *testing.T) {
	for _, tc := range []struct {
		state  rpc.DomainState
		reason int
		want   xen.State
		why    xen.Reason
	}{
		{rpc.DomainNostate, 0, xen.Running, ""},
		{rpc.DomainRunning, int(rpc.DomainRunningBooted), xen.Running, ""},
		{rpc.DomainBlocked, 0, xen.Running, ""},
		{rpc.DomainPaused, int(rpc.DomainPausedUser), xen.Paused, ""},
		{rpc.DomainPaused, int(rpc.DomainPausedSave), xen.Suspended, xen.Suspend},
		{rpc.DomainPaused, int(rpc.DomainPausedMigration), xen.Suspended, xen.Suspend},
		{rpc.DomainShutdown, 0, xen.Stopped, xen.Poweroff},
		{rpc.DomainShutoff, int(rpc.DomainShutoffShutdown), xen.Stopped, xen.Poweroff},
		{rpc.DomainShutoff, int(rpc.DomainShutoffCrashed), xen.Crashed, xen.Crash},
		{rpc.DomainShutoff, int(rpc.DomainShutoffSaved), xen.Suspended, xen.Suspend},
		{rpc.DomainShutoff, int(rpc.DomainShutoffDestroyed), xen.Dying, ""},
		{rpc.DomainCrashed, 0, xen.Crashed, xen.Crash},
		{rpc.DomainPmsuspended, 0, xen.Suspended, xen.Suspend},
	} {
		state, why := stateOf(tc.state, int32(tc.reason))
		assert.Equal(t, tc.want, state, "%v/%d", tc.state, tc.reason)
		assert.Equal(t, tc.why, why, "%v/%d", tc.state, tc.reason)
	}
}

func TestInfo(t *testing.T) {
	d := startDaemon(t)
	d.domains = []guest{{Domain: rpc.Domain{Name: "Domain-0"}, state: 1}}
	got, err := d.driver().Info(t.Context())
	require.NoError(t, err)
	assert.Equal(t, xen.HostInfo{
		Hostname: "curacao", XenVersion: "4.17", VirtCaps: []string{"pv"}, CPUs: 1, Scheduler: "credit2", TotalMemory: 2047 << 20, FreeMemory: 1124 << 20,
	}, got)
	assert.Equal(t, "4.17.7", versionText(4017007))
	assert.Equal(t, "0.2", versionText(2000))
}

func TestFeatures(t *testing.T) {
	d := startDaemon(t)
	renames := uint32(3)
	d.answer = func(proc uint32, args []byte) (xdr, *rpc.Error, bool) {
		switch proc {
		case procRename:
			return nil, &rpc.Error{Code: renames}, true
		case procCreateXML:
			assert.NotContains(t, string(args), "<domain", "nothing can start by it")
			return nil, &rpc.Error{Code: map[uint32]uint32{3: 27, 42: 8}[renames]}, true
		}
		return nil, nil, false
	}
	driver := d.driver()
	got, err := driver.Features(t.Context())
	require.NoError(t, err)
	assert.Equal(t, xen.Features{Types: []xen.Type{xen.PV}, Missing: []string{"rename", "update config", "save and leave paused"}}, got)
	renames = 42
	got, err = driver.Features(t.Context())
	require.NoError(t, err)
	assert.Equal(t, xen.Features{Types: []xen.Type{xen.PV}, Missing: []string{"create paused", "update config", "save and leave paused"}}, got)
}

func TestErrorCodes(t *testing.T) {
	for code, means := range map[uint32]error{
		1: nil, 2: nil, 3: errors.ErrUnsupported, 8: xen.ErrInvalid, 9: nil, 27: xen.ErrInvalid, 28: fs.ErrExist, 35: xen.ErrInvalid, 38: nil,
		42: fs.ErrNotExist, 45: fs.ErrPermission, 55: nil, 67: errors.ErrUnsupported, 68: xen.ErrBusy, 84: errors.ErrUnsupported, 87: xen.ErrBusy, 88: fs.ErrPermission,
	} {
		err := explain(fmt.Errorf("ask: %w", rpc.Error{Code: code, Message: "what libvirt says\nand more"}))
		assert.ErrorContains(t, err, fmt.Sprintf("what libvirt says (libvirt error %d)", code))
		for _, word := range []error{errors.ErrUnsupported, xen.ErrInvalid, fs.ErrExist, fs.ErrNotExist, fs.ErrPermission, xen.ErrBusy, xen.ErrNoMemory} {
			assert.Equal(t, word == means, errors.Is(err, word), "%d is %v", code, word) //nolint:errorlint // the word itself
		}
		assert.False(t, unclear(err), "the daemon has answered")
		assert.Equal(t, err, explain(err), "explained once")
	}
	assert.ErrorIs(t, explain(rpc.ErrUnsupported), errors.ErrUnsupported)
	for _, lost := range []error{rpc.ErrInterrupted, io.EOF} {
		assert.ErrorIs(t, explain(lost), errLost)
		assert.True(t, unclear(explain(lost)))
	}
	assert.False(t, unclear(explain(&net.OpError{Op: "dial", Err: io.EOF})), "never asked")
	assert.NoError(t, explain(nil))
}

// A daemon's message can quote a guest's or a caller's bytes.
func TestMessagesStayOnOneLine(t *testing.T) {
	assert.Equal(t, "a[2Jb", oneLine("a\x1b[2Jb\r\nc"))
	long := oneLine(strings.Repeat("é", 500))
	assert.LessOrEqual(t, len(long), 303)
	assert.True(t, strings.HasSuffix(long, "é…"))
}

// The disk of the recorded domain is found by its path.
func TestSharedDisk(t *testing.T) {
	live := capabilitiesXML(t, "live.xml")
	spec := xen.Spec{Disks: []xen.Disk{{Dev: "xvda", Path: "/dev/guests/other"}, {Dev: "xvdb", Path: "/dev/guests/web1-disk", ReadOnly: true}}}
	dev, path := shared(spec, live)
	assert.Equal(t, "xvdb", dev)
	assert.Equal(t, "/dev/guests/web1-disk", path)
	readOnly := strings.Replace(live, "<target dev='xvda' bus='xen'/>", "<target dev='xvda' bus='xen'/><readonly/>", 1)
	dev, _ = shared(spec, readOnly)
	assert.Empty(t, dev, "both only read")
	dev, _ = shared(spec, "<domain>")
	assert.Empty(t, dev)
}

func TestShareOf(t *testing.T) {
	param := func(field string, v any) rpc.TypedParam {
		return rpc.TypedParam{Field: field, Value: rpc.TypedParamValue{I: v}}
	}
	got, err := shareOf([]rpc.TypedParam{param("cap", uint32(50)), param("weight", uint32(512))})
	require.NoError(t, err)
	assert.Equal(t, xen.Share{Weight: 512, Cap: 50}, got)
	for _, params := range [][]rpc.TypedParam{nil, {param("weight", uint32(1))}, {param("weight", "1"), param("cap", uint32(1))}} {
		_, err := shareOf(params)
		require.ErrorIs(t, err, errors.ErrUnsupported)
	}
}
