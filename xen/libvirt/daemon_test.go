package libvirt

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	rpc "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
)

// The procedures of remote_protocol.x that the tests answer by hand.
const (
	procOpen         = 1
	procClose        = 2
	procCreateXML    = 10
	procVersion      = 4
	procNodeInfo     = 6
	procCapabilities = 7
	procXML          = 14
	procInfo         = 16
	procByUUID       = 24
	procResume       = 28
	procSuspend      = 34
	procHostname     = 59
	procAuthList     = 66
	procFreeMemory   = 102
	procPersistent   = 151
	procState        = 212
	procDestroy      = 234
	procShutdown     = 258
	procListAll      = 273
	procRename       = 358
	procSchedParams  = 57
	procSchedType    = 56
	procSetSched     = 219
	procMaxMemory    = 17
	procVCPUs        = 20
	procSetVCPUs     = 199
	procGetVCPUs     = 200
	procSetMemory    = 204
	procReboot       = 27
	procAttach       = 160
	procDetach       = 161
	procUpdate       = 174
	procRestore      = 233
	procBegin        = 302
	procPerform      = 305
	procConfirm      = 307
)

// daemon is a libvirtd that misbehaves as a test wants. What is not answered
// by answer is answered from domains.
type daemon struct {
	t      *testing.T
	socket string

	mu      sync.Mutex
	domains []guest
	said    []uint32   // procedures, in order, without opening and looking
	open    int        // connections
	bye     int        // connections that said goodbye
	hooks   sync.Mutex // one call of answer or silent at a time
	// answer is asked first. ok: reply, or fail, is the answer.
	answer func(proc uint32, args []byte) (reply xdr, fail *rpc.Error, ok bool)
	silent func(proc uint32) bool // never answer
	hangUp int                    // how many shutdowns are answered by hanging up
}

type guest struct {
	rpc.Domain
	state, reason int32
	memory        uint64 // KiB
	vcpus         uint16
	cpuTime       uint64 // ns
	persistent    bool
	xml           string
}

func startDaemon(t *testing.T) *daemon {
	t.Helper()
	d := &daemon{t: t, socket: filepath.Join(t.TempDir(), "sock")}
	l, err := net.Listen("unix", d.socket)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			d.count(&d.open, 1)
			go d.serve(conn)
		}
	}()
	return d
}

// DialExample connects the Example to a daemon with one domain.
func DialExample(context.Context) (net.Conn, error) {
	d := &daemon{domains: []guest{running(xen.Spec{Name: "web1", UUID: uuid.MustParse("b263ad99-692d-4062-89d6-71de96ca83df")})}}
	ours, theirs := net.Pipe()
	go d.serve(theirs)
	return ours, nil
}

func (d *daemon) driver() *Driver {
	return d.limited(Limits{Query: 30 * time.Second, Create: 30 * time.Second, Shutdown: 30 * time.Second, Destroy: 30 * time.Second})
}

func (d *daemon) limited(limits Limits) *Driver {
	driver := New(&Options{Socket: d.socket, Poll: time.Millisecond, Limits: limits})
	d.t.Cleanup(func() { _ = driver.Close() })
	return driver
}

func (d *daemon) count(n *int, by int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	*n += by
}

func (d *daemon) connections() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open
}

func (d *daemon) serve(conn net.Conn) {
	defer d.count(&d.open, -1)
	defer conn.Close()
	for {
		head := make([]byte, frameHead)
		if _, err := io.ReadFull(conn, head); err != nil {
			return
		}
		args := make([]byte, binary.BigEndian.Uint32(head)-frameHead)
		if _, err := io.ReadFull(conn, args); err != nil {
			return
		}
		proc := binary.BigEndian.Uint32(head[12:])
		if d.ignores(proc) {
			continue
		}
		if proc == procShutdown && d.hangs() {
			return
		}
		reply, fail := d.do(proc, args)
		if fail != nil {
			reply = xdr(nil).u32(fail.Code).u32(0).u32(1).str(fail.Message).u32(2)
		}
		frame := xdr(nil).u32(uint32(frameHead + len(reply)))
		frame = append(append(frame, head[4:16]...), xdr(nil).u32(typeReply)...)
		status := uint32(0)
		if fail != nil {
			status = 1
		}
		frame = append(append(append(frame, head[20:24]...), xdr(nil).u32(status)...), reply...)
		if _, err := conn.Write(frame); err != nil {
			return
		}
	}
}

func (d *daemon) hangs() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hangUp--
	if d.hangUp < 0 {
		d.hangUp = 0
		return false
	}
	return true
}

func (d *daemon) ignores(proc uint32) bool {
	d.hooks.Lock()
	defer d.hooks.Unlock()
	return d.silent != nil && d.silent(proc)
}

func (d *daemon) hook(proc uint32, args []byte) (xdr, *rpc.Error, bool) {
	d.hooks.Lock()
	defer d.hooks.Unlock()
	if d.answer == nil {
		return nil, nil, false
	}
	return d.answer(proc, args)
}

func (d *daemon) do(proc uint32, args []byte) (xdr, *rpc.Error) {
	if reply, fail, ok := d.hook(proc, args); ok {
		return reply, fail
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch proc {
	case procAuthList:
		return xdr(nil).u32(1).u32(0), nil
	case procOpen:
		return nil, nil
	case procClose:
		d.bye++
		return nil, nil
	case procCapabilities:
		return xdr(nil).str(capabilitiesXML(d.t, "capabilities-pv.xml")), nil
	case procListAll:
		reply := xdr(nil).u32(uint32(len(d.domains)))
		for _, g := range d.domains {
			reply = reply.domain(g.Domain)
		}
		return reply.u32(uint32(len(d.domains))), nil
	case procHostname:
		return xdr(nil).str("curacao"), nil
	case procVersion:
		return xdr(nil).u64(4017000), nil
	case procNodeInfo:
		reply := make(xdr, 32*4) // int8 is a word here
		return reply.u64(2096612).u32(1).u32(2596).u32(1).u32(1).u32(1).u32(1), nil
	case procFreeMemory:
		return xdr(nil).u64(1179082752), nil
	case procCreateXML:
		d.said = append(d.said, proc)
		return nil, &rpc.Error{Code: 1, Message: "internal error: libxenlight failed to create new domain 'web1'"}
	}
	return d.on(proc, args)
}

// on answers what is asked of one domain.
func (d *daemon) on(proc uint32, args []byte) (xdr, *rpc.Error) {
	id := args[:min(16, len(args))]
	if proc != procByUUID {
		id = uuidIn(args)
	}
	i := slices.IndexFunc(d.domains, func(g guest) bool { return slices.Equal(g.UUID[:], id) })
	if i < 0 {
		return nil, &rpc.Error{Code: 42, Message: "Domain not found"}
	}
	g := &d.domains[i]
	if !slices.Contains([]uint32{procByUUID, procPersistent, procState, procInfo, procXML}, proc) {
		d.said = append(d.said, proc)
	}
	switch proc {
	case procByUUID:
		return xdr(nil).domain(g.Domain), nil
	case procPersistent:
		return xdr(nil).bool(g.persistent), nil
	case procState:
		return xdr(nil).u32(uint32(g.state)).u32(uint32(g.reason)), nil
	case procInfo:
		return xdr(nil).u32(uint32(g.state)).u64(g.memory).u64(g.memory).u32(uint32(g.vcpus)).u64(g.cpuTime), nil
	case procXML:
		return xdr(nil).str(g.xml), nil
	case procSchedType:
		return xdr(nil).str("credit2").u32(2), nil
	case procSuspend, procResume:
		g.state = map[uint32]int32{procSuspend: int32(rpc.DomainPaused), procResume: int32(rpc.DomainRunning)}[proc]
		return nil, nil
	case procDestroy, procShutdown:
		d.domains = slices.Delete(d.domains, i, i+1)
		return nil, nil
	}
	return nil, &rpc.Error{Code: 3, Message: "this function is not supported by the connection driver: virDomainRename"}
}

// uuidIn finds the UUID of a remote_nonnull_domain: it follows the name.
func uuidIn(args []byte) []byte {
	if len(args) < 4 {
		return nil
	}
	n := int(binary.BigEndian.Uint32(args))
	at := 4 + (n+3)/4*4
	return args[min(at, len(args)):min(at+16, len(args))]
}
