package libvirt

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"testing"
	"time"

	rpc "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
)

// builds makes the daemon start what it is asked for, in this state.
func (d *daemon) builds(spec xen.Spec, state rpc.DomainState) {
	d.answer = func(proc uint32, _ []byte) (xdr, *rpc.Error, bool) {
		if proc != procCreateXML {
			return nil, nil, false
		}
		g := running(spec)
		g.state = int32(state)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.said = append(d.said, proc)
		d.domains = append(d.domains, g)
		return xdr(nil).domain(g.Domain), nil, true
	}
}

func (d *daemon) left() []guest {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]guest(nil), d.domains...)
}

func TestCreateReadsBack(t *testing.T) {
	d, spec := startDaemon(t), testSpec(t)
	d.builds(spec, rpc.DomainPaused)
	got, err := d.driver().Create(t.Context(), spec, &xen.CreateOptions{Paused: true})
	require.NoError(t, err)
	assert.Equal(t, xen.Domain{
		UUID: spec.UUID, ID: 2, Name: "web1", State: xen.Paused, Memory: 128 << 20, VCPUs: 1, CPUTime: 9580021760,
	}, got)
}

// libvirt says yes and the domain is not what was asked for: it is taken away.
func TestCreateThatIsNotSo(t *testing.T) {
	d, spec := startDaemon(t), testSpec(t)
	d.builds(spec, rpc.DomainRunning)
	_, err := d.driver().Create(t.Context(), spec, &xen.CreateOptions{Paused: true})
	require.ErrorContains(t, err, "libvirt created it, and it is running")
	assert.NotErrorIs(t, err, xen.ErrDirty)
	assert.Empty(t, d.left())
}

func TestCreateThatEndsAtOnce(t *testing.T) {
	d, spec := startDaemon(t), testSpec(t)
	d.answer = func(proc uint32, _ []byte) (xdr, *rpc.Error, bool) {
		return xdr(nil).domain(running(spec).Domain), nil, proc == procCreateXML
	}
	_, err := d.driver().Create(t.Context(), spec, nil)
	require.ErrorContains(t, err, "ended right after its start")
	assert.NotErrorIs(t, err, fs.ErrNotExist)
}

// The caller gives up while libvirt builds: the domain is waited for and
// destroyed, since libvirt can not be stopped.
func TestCreateCutShort(t *testing.T) {
	d, spec := startDaemon(t), testSpec(t)
	ctx, cancel := context.WithCancel(t.Context())
	d.silent = func(proc uint32) bool {
		if proc != procCreateXML {
			return false
		}
		building := running(spec)
		building.ID = notRunning
		d.mu.Lock()
		d.domains = []guest{building}
		d.mu.Unlock()
		cancel()
		time.AfterFunc(50*time.Millisecond, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.domains = []guest{running(spec)}
		})
		return true
	}
	_, err := d.driver().Create(ctx, spec, nil)
	require.ErrorIs(t, err, context.Canceled)
	assert.NotErrorIs(t, err, xen.ErrDirty)
	assert.Empty(t, d.left())
	assert.Contains(t, d.said, uint32(procDestroy))
}

// The daemon hangs for good: what it may still do is said.
func TestCreateOnADaemonThatHangs(t *testing.T) {
	d, spec := startDaemon(t), testSpec(t)
	hung := false
	d.silent = func(proc uint32) bool {
		hung = hung || proc == procCreateXML
		return hung
	}
	driver := d.limited(Limits{Query: 500 * time.Millisecond, Create: 500 * time.Millisecond})
	_, err := driver.Create(t.Context(), spec, nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, xen.ErrDirty)
}

// A failed start is "internal error" to libvirt, whatever the reason.
func TestFailedCreateIsExplained(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(d *daemon, spec *xen.Spec)
		paused bool
		means  error
		text   string
	}{
		"no memory": {func(_ *daemon, s *xen.Spec) { s.Memory = 2 << 30 }, false, xen.ErrNoMemory, "1124 MiB, needs 2048"},
		"kernel is gone": {func(_ *daemon, s *xen.Spec) {
			_ = os.Remove(s.Kernel)
		}, false, xen.ErrInvalid, "kernel"},
		"no bridge": {func(_ *daemon, s *xen.Spec) {
			s.Vifs = []xen.Vif{{Name: "web1.0", Bridge: "no-such-bridge", MAC: xen.MAC{0, 0x16, 0x3e, 0, 0, 1}}}
		}, false, xen.ErrInvalid, "no-such-bridge"},
		"busy disk": {func(d *daemon, s *xen.Spec) {
			other := running(*s)
			other.Name, other.UUID = "web2", rpc.UUID(uuid.New())
			other.xml = `<domain><devices><disk type='block'><source dev='` + s.Disks[0].Path + `'/><target dev='xvdb'/></disk></devices></domain>`
			d.domains = []guest{other}
		}, false, xen.ErrBusy, "is used by web2"},
		"unknown":       {func(*daemon, *xen.Spec) {}, false, nil, "libxl-driver.log"},
		"missing disk":  {func(_ *daemon, s *xen.Spec) { s.Disks[0].Path += "-nope" }, false, xen.ErrInvalid, "xvda"},
		"pvh on pv":     {func(_ *daemon, s *xen.Spec) { s.Type = xen.PVH }, false, errors.ErrUnsupported, "no pvh domains"},
		"hvm":           {func(_ *daemon, s *xen.Spec) { s.Type = xen.HVM }, false, errors.ErrUnsupported, "hvm"},
		"defined":       {func(d *daemon, s *xen.Spec) { d.define("web1", uuid.New()) }, false, fs.ErrExist, "of this name"},
		"defined as us": {func(d *daemon, s *xen.Spec) { d.define("other", s.UUID) }, false, fs.ErrExist, "does not run"},
		"somebody was faster": {func(d *daemon, s *xen.Spec) {
			d.answer = func(proc uint32, _ []byte) (xdr, *rpc.Error, bool) {
				if proc == procCreateXML {
					d.define("web1", uuid.New())
				}
				return nil, &rpc.Error{Code: 9, Message: "operation failed: domain 'web1' already exists with uuid"}, proc == procCreateXML
			}
		}, false, fs.ErrExist, "of this name"},
		"flag unknown": {func(d *daemon, _ *xen.Spec) {
			d.answer = func(proc uint32, _ []byte) (xdr, *rpc.Error, bool) {
				return nil, &rpc.Error{Code: 8, Message: "unsupported flags (0x1) in function testDomainCreateXML"}, proc == procCreateXML
			}
		}, true, errors.ErrUnsupported, "paused"},
	} {
		t.Run(name, func(t *testing.T) {
			d, spec := startDaemon(t), testSpec(t)
			tc.change(d, &spec)
			_, err := d.driver().Create(t.Context(), spec, &xen.CreateOptions{Paused: tc.paused})
			require.ErrorContains(t, err, tc.text)
			assert.NotErrorIs(t, err, xen.ErrDirty)
			for _, means := range []error{xen.ErrNoMemory, xen.ErrInvalid, xen.ErrBusy, errors.ErrUnsupported, fs.ErrExist, fs.ErrNotExist} {
				assert.Equal(t, means == tc.means, errors.Is(err, means), "%v: %v", means, err) //nolint:errorlint // the word itself
			}
		})
	}
}

// define adds a definition that does not run.
func (d *daemon) define(name string, id uuid.UUID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.domains = append(d.domains, guest{Domain: rpc.Domain{Name: name, UUID: rpc.UUID(id), ID: notRunning}, persistent: true})
}

func TestWeightAndCapAreSetBeforeItRuns(t *testing.T) {
	for name, tc := range map[string]struct {
		read  [2]uint32 // what the daemon shows after it was set
		means string
	}{
		"set":     {[2]uint32{512, 70}, ""},
		"not set": {[2]uint32{256, 0}, "after they were set"},
	} {
		t.Run(name, func(t *testing.T) {
			d, spec := startDaemon(t), testSpec(t)
			spec.Weight, spec.Cap = 512, 70
			d.builds(spec, rpc.DomainPaused)
			build, now := d.answer, [2]uint32{256, 0}
			d.answer = func(proc uint32, args []byte) (xdr, *rpc.Error, bool) {
				switch proc {
				case procSchedParams:
					return xdr(nil).u32(2).str("weight").u32(2).u32(now[0]).str("cap").u32(2).u32(now[1]), nil, true
				case procSetSched:
					if flags := args[len(args)-4:]; !bytes.Equal(flags, make([]byte, 4)) {
						return nil, &rpc.Error{Code: 8, Message: "unsupported flags (0x1) in function libxlDomainSetSchedulerParametersFlags"}, true
					}
					d.mu.Lock()
					defer d.mu.Unlock()
					d.said = append(d.said, proc)
					now = tc.read
					return nil, nil, true
				}
				return build(proc, args)
			}
			got, err := d.driver().Create(t.Context(), spec, nil)
			if tc.means != "" {
				require.ErrorContains(t, err, tc.means)
				assert.Empty(t, d.left())
				return
			}
			require.NoError(t, err)
			assert.Equal(t, xen.Running, got.State)
			assert.Equal(t, []uint32{procCreateXML, procSetSched, procResume}, d.said)
		})
	}
}
