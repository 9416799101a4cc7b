package libvirt

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	rpc "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
)

func testSpec(t *testing.T) xen.Spec {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"vmlinuz", "web1"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	return xen.Spec{
		Name: "web1", UUID: uuid.MustParse("b263ad99-692d-4062-89d6-71de96ca83df"), Type: xen.PV, Memory: 128 << 20, VCPUs: 1,
		Kernel: filepath.Join(dir, "vmlinuz"),
		Disks:  []xen.Disk{{Dev: "xvda", Path: filepath.Join(dir, "web1")}},
	}
}

// running is spec's domain as libvirt shows it.
func running(spec xen.Spec) guest {
	return guest{
		Domain: rpc.Domain{Name: spec.Name, UUID: rpc.UUID(spec.UUID), ID: 2},
		state:  int32(rpc.DomainRunning), memory: 131072, vcpus: 1, cpuTime: 9580021760,
	}
}

// verbs are all that can be asked of a driver.
func verbs(d *Driver, spec xen.Spec) map[string]func(ctx context.Context) error {
	id := spec.UUID
	return map[string]func(ctx context.Context) error{
		"list":     func(ctx context.Context) error { _, err := d.List(ctx); return err },
		"lookup":   func(ctx context.Context) error { _, err := d.Lookup(ctx, id); return err },
		"create":   func(ctx context.Context) error { _, err := d.Create(ctx, spec, nil); return err },
		"shutdown": func(ctx context.Context) error { _, err := d.Shutdown(ctx, id, nil); return err },
		"destroy":  func(ctx context.Context) error { return d.Destroy(ctx, id) },
		"pause":    func(ctx context.Context) error { return d.Pause(ctx, id) },
		"unpause":  func(ctx context.Context) error { return d.Unpause(ctx, id) },
		"rename":   func(ctx context.Context) error { return d.Rename(ctx, id, "web2") },
		"check":    func(ctx context.Context) error { return d.Check(ctx, spec) },
		"info":     func(ctx context.Context) error { _, err := d.Info(ctx); return err },
		"features": func(ctx context.Context) error { _, err := d.Features(ctx); return err },

		"set memory": func(ctx context.Context) error { return d.SetMemory(ctx, id, 64<<20) },
		"set vcpus":  func(ctx context.Context) error { return d.SetVCPUs(ctx, id, 1) },
		"vcpus":      func(ctx context.Context) error { _, err := d.VCPUs(ctx, id); return err },
		"pin":        func(ctx context.Context) error { return d.Pin(ctx, id, 0, nil, nil) },
		"share":      func(ctx context.Context) error { _, err := d.Share(ctx, id); return err },
		"set share":  func(ctx context.Context) error { return d.SetShare(ctx, id, xen.Share{Weight: 1}) },

		"config":        func(ctx context.Context) error { _, err := d.Config(ctx, id); return err },
		"update config": func(ctx context.Context) error { return d.UpdateConfig(ctx, spec) },
		"reboot":        func(ctx context.Context) error { _, err := d.Reboot(ctx, id, nil); return err },
		"attach disk": func(ctx context.Context) error {
			return d.AttachDisk(ctx, id, xen.Disk{Dev: "xvdb", Path: spec.Kernel})
		},
		"detach disk": func(ctx context.Context) error { return d.DetachDisk(ctx, id, "xvda") },
		"attach vif": func(ctx context.Context) error {
			return d.AttachVif(ctx, id, xen.Vif{Name: "x.1", Bridge: "xenint", MAC: xen.MAC{0, 0x16, 0x3e, 0, 0, 9}})
		},
		"detach vif": func(ctx context.Context) error { return d.DetachVif(ctx, id, xen.MAC{0, 0x16, 0x3e, 0, 0, 9}) },
		"insert":     func(ctx context.Context) error { return d.Insert(ctx, id, "hdc", "/srv/x.iso") },
		"eject":      func(ctx context.Context) error { return d.Eject(ctx, id, "hdc") },
		"save":       func(ctx context.Context) error { return d.Save(ctx, id, io.Discard, nil) },
		"restore": func(ctx context.Context) error {
			_, err := d.Restore(ctx, spec, strings.NewReader(""), nil)
			return err
		},
		"console": func(ctx context.Context) error { _, err := d.Console(ctx, id); return err },
		"screen":  func(ctx context.Context) error { _, err := d.Screen(ctx, id); return err },
	}
}

// A daemon that accepts and never answers: every verb ends when its context or
// its own limit does, says so, and leaves neither a goroutine nor a connection.
func TestHungDaemon(t *testing.T) {
	d := startDaemon(t)
	d.silent = func(uint32) bool { return true }
	driver := d.limited(Limits{Query: 100 * time.Millisecond})
	spec := testSpec(t)
	for name, verb := range verbs(driver, spec) {
		for limit, timeout := range map[string]time.Duration{"its own limit": time.Minute, "the caller's": 30 * time.Millisecond} {
			t.Run(name+" by "+limit, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				defer cancel()
				err := verb(ctx)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				var e *xen.Error
				require.ErrorAs(t, err, &e)
				assert.Equal(t, name, e.Op)
				assert.ErrorContains(t, err, "libvirtd did not answer")
				if limit == "its own limit" {
					require.NoError(t, ctx.Err())
				}
			})
		}
	}
	require.Eventually(t, func() bool { return d.connections() == 0 }, 5*time.Second, time.Millisecond, "connections were dropped")
	require.Eventually(t, func() bool {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		return !bytes.Contains(stacks, []byte("digitalocean/go-libvirt"))
	}, 5*time.Second, 10*time.Millisecond, "goroutines ended")
}

// A daemon that hangs in one procedure is left after it, for each verb and each
// procedure that the verb needs.
func TestHungInTheMiddle(t *testing.T) {
	for _, tc := range []struct {
		verb  string
		procs []uint32
	}{
		{"list", []uint32{procAuthList, procOpen, procListAll, procState, procInfo}},
		{"lookup", []uint32{procByUUID, procState, procInfo}},
		{"shutdown", []uint32{procByUUID}},
		{"destroy", []uint32{procByUUID, procDestroy}},
		{"pause", []uint32{procSuspend}},
		{"check", []uint32{procCapabilities, procListAll}},
		{"info", []uint32{procHostname, procVersion, procNodeInfo, procFreeMemory, procCapabilities}},
		{"features", []uint32{procCreateXML, procRename, procReboot, procAttach, procDetach, procUpdate, procBegin}},
		{"config", []uint32{procByUUID, procXML, procSchedParams}},
		{"reboot", []uint32{procXML, procReboot}},
		{"attach disk", []uint32{procXML, procAttach}},
		{"detach disk", []uint32{procXML, procDetach}},
		{"save", []uint32{procByUUID, procBegin}},
		{"console", []uint32{procXML}},
		{"screen", []uint32{procXML}},
	} {
		for _, proc := range tc.procs {
			d := startDaemon(t)
			spec := testSpec(t)
			g := running(spec)
			g.xml, _ = render(spec, anyHost())
			d.domains = []guest{g}
			var hangs atomic.Bool
			hangs.Store(true)
			d.silent = func(p uint32) bool { return p == proc && hangs.Load() }
			driver := d.driver()
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			err := verbs(driver, spec)[tc.verb](ctx)
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded, "%s, %d", tc.verb, proc)

			hangs.Store(false)
			_, err = driver.List(t.Context())
			require.NoError(t, err, "the next call connects anew: %s, %d", tc.verb, proc)
		}
	}
}

// A call that hangs has its connection alone: others go on.
func TestOneHungCallHarmsNoOther(t *testing.T) {
	d := startDaemon(t)
	spec := testSpec(t)
	d.domains = []guest{running(spec)}
	asked := make(chan struct{}, 1)
	d.silent = func(proc uint32) bool {
		if proc == procSuspend {
			asked <- struct{}{}
		}
		return proc == procSuspend
	}
	driver := d.driver()
	ctx, cancel := context.WithCancel(t.Context())
	hung := make(chan error, 1)
	go func() { hung <- driver.Pause(ctx, spec.UUID) }()
	<-asked
	for range 3 {
		domains, err := driver.List(t.Context())
		require.NoError(t, err)
		require.Len(t, domains, 1)
	}
	cancel()
	require.ErrorIs(t, <-hung, context.Canceled)
	_, err := driver.List(t.Context())
	require.NoError(t, err)
}

// A daemon that dies, or is restarted, while it is asked.
func TestLostConnection(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(conn, make([]byte, frameHead)) // the question, and then nobody
			conn.Close()
		}
	}()
	driver := New(&Options{Socket: socket})
	_, err = driver.List(t.Context())
	require.ErrorIs(t, err, errLost)
	assert.NotErrorIs(t, err, context.DeadlineExceeded)
	l.Close()
	_, err = driver.List(t.Context())
	require.ErrorContains(t, err, "connect to libvirtd")
	require.NoError(t, driver.Close())
	_, err = driver.List(t.Context())
	require.ErrorIs(t, err, net.ErrClosed)
}

// The connections that wait for the next call are few, a daemon that was
// restarted meanwhile is found again, and Close says goodbye.
func TestConnectionsAreKept(t *testing.T) {
	d := startDaemon(t)
	driver := d.driver()
	var conns []net.Conn
	driver.sessions.dial = func(ctx context.Context) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", d.socket)
		conns = append(conns, conn)
		return conn, err
	}
	for range 3 {
		_, err := driver.List(t.Context())
		require.NoError(t, err)
	}
	require.Len(t, conns, 1, "one connection serves calls that follow each other")
	require.NoError(t, conns[0].Close())
	require.Eventually(t, func() bool { return d.connections() == 0 }, 5*time.Second, time.Millisecond)
	require.Eventually(t, func() bool { _, err := driver.List(t.Context()); return err == nil }, 5*time.Second, time.Millisecond)

	var held []*session
	for range maxIdle + 3 {
		s, err := driver.sessions.open(t.Context())
		require.NoError(t, err)
		held = append(held, s)
	}
	for _, s := range held {
		driver.sessions.give(s, true)
	}
	assert.Len(t, driver.sessions.idle, maxIdle)
	require.NoError(t, driver.Close())
	require.Eventually(t, func() bool { return d.connections() == 0 }, 5*time.Second, time.Millisecond)
	d.mu.Lock()
	defer d.mu.Unlock()
	assert.Equal(t, maxIdle+4, d.bye)
}
