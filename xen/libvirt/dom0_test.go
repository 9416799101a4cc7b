package libvirt

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	rpc "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
)

// fault is what libvirt says whenever libxl fails.
var fault = &rpc.Error{Code: 1, Message: "internal error: libxenlight failed"}

// dom0Host is a dom0 in which a libvirtd that misbehaves as a test wants and xl
// see the same domain, web1 of domid 2. A domain that was sent is suspended, and
// a send that fails leaves it so, as libvirt 9.0 does.
type dom0Host struct {
	*daemon
	spec xen.Spec

	state     sync.Mutex
	image     []byte   // what a send sends, and a restore reads behind the head
	sends     int      // of image, before it fails; -1: all
	hangs     bool     // it does not fail then, but hangs
	suspended bool     // in Xen; libvirt calls it running
	held      bool     // between begin and confirm
	half      []string // disks that xl sees and libvirt does not
	stuck     bool     // xl can not take one of them away
	attaches  func(x *dom0Host) *rpc.Error
	restores  func(x *dom0Host, path string) *rpc.Error
	verbs     []string
}

func startDom0(t *testing.T) *dom0Host {
	x := &dom0Host{daemon: startDaemon(t), spec: testSpec(t), image: append([]byte("LibxlFmt"), bytes.Repeat([]byte("memory of web1 "), 1_500_000)...), sends: -1} // more than sockets hold
	g := running(x.spec)
	text, err := render(x.spec, anyHost())
	require.NoError(t, err)
	g.xml = text
	x.domains = []guest{g}
	x.answer = x.answers
	return x
}

func (x *dom0Host) driver(t *testing.T, limits Limits) *Driver {
	for _, l := range []*time.Duration{&limits.Query, &limits.Create, &limits.Destroy, &limits.Attach, &limits.Stall} {
		if *l == 0 {
			*l = 20 * time.Second
		}
	}
	d := New(&Options{Socket: x.socket, Runner: x, TempDir: t.TempDir(), Poll: time.Millisecond, Limits: limits})
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func (x *dom0Host) answers(proc uint32, args []byte) (xdr, *rpc.Error, bool) {
	name := map[uint32]string{procBegin: "begin", procPerform: "perform", procConfirm: "confirm", procAttach: "attach", procDetach: "detach", procRestore: "restore"}[proc]
	if name == "" {
		return nil, nil, false
	}
	x.state.Lock()
	defer x.state.Unlock()
	if proc == procConfirm {
		name += fmt.Sprint(" ", binary.BigEndian.Uint32(args[len(args)-4:]))
	}
	x.verbs = append(x.verbs, name)
	reply, fail := xdr(nil), (*rpc.Error)(nil)
	switch name {
	case "begin":
		if x.held {
			return nil, &rpc.Error{Code: 68, Message: "cannot acquire state change lock"}, true
		}
		x.held = true
		reply = xdr(nil).str("cookie").str("<domain/>")
	case "perform":
		reply, fail = xdr(nil).str(""), x.send(args)
		x.held = fail == nil
	case "confirm 0":
		x.drop()
	case "confirm 1":
		x.held, x.suspended = false, false
	case "attach":
		fail = x.attaches(x)
	case "restore":
		n := binary.BigEndian.Uint32(args)
		fail = x.restores(x, string(args[4:4+n]))
	}
	return reply, fail, true
}

func (x *dom0Host) drop() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.domains = nil
}

// restart makes all as it was at the start.
func (x *dom0Host) restart() {
	x.state.Lock()
	x.held, x.suspended, x.half = false, false, nil
	x.state.Unlock()
	g := running(x.spec)
	g.xml, _ = render(x.spec, anyHost())
	x.mu.Lock()
	defer x.mu.Unlock()
	x.domains = []guest{g}
}

// send suspends the domain and sends it to the address in a perform.
func (x *dom0Host) send(args []byte) *rpc.Error {
	at := regexp.MustCompile(`tcp://(127\.0\.0\.1:\d+)`).FindSubmatch(args)
	if at == nil {
		return &rpc.Error{Code: 8, Message: "no address"}
	}
	conn, err := net.Dial("tcp", string(at[1]))
	if err != nil {
		return fault
	}
	defer conn.Close()
	x.suspended = true
	if x.sends < 0 {
		if _, err := conn.Write(x.image); err != nil {
			return fault
		}
		return nil
	}
	_, _ = conn.Write(x.image[:x.sends])
	if x.hangs {
		_, _ = conn.Read(make([]byte, 1)) // until the driver goes
	}
	return fault
}

// Run is xl.
func (x *dom0Host) Run(_ context.Context, cmd dom0.Cmd) error {
	x.state.Lock()
	defer x.state.Unlock()
	argv := strings.Join(cmd.Args, " ")
	out := ""
	switch {
	case argv == "xl list -v":
		letters, reason := "-b----", "-"
		if x.suspended {
			letters, reason = "---s--", "2"
		}
		out = "Name ID Mem VCPUs State Time(s) UUID Reason-Code Security Label\n" +
			fmt.Sprintf("%-40s %5d %5d %5d     %s  %8.1f %s %8s %16s\n", "Domain-0", 0, 900, 1, "r-----", 1.0, uuid.Nil, "-", "-")
		if x.there() {
			out += fmt.Sprintf("%-40s %5d %5d %5d     %s  %8.1f %s %8s %16s\n", "web1", 2, 128, 1, letters, 1.0, x.spec.UUID, reason, "-")
		}
	case argv == "xl list -l 2":
		disks := []string{}
		for _, dev := range append([]string{"xvda"}, x.half...) {
			disks = append(disks, `{"pdev_path":"/dev/x","vdev":"`+dev+`","readwrite":1}`)
		}
		out = `[{"domid":2,"config":{"c_info":{"type":"pv","name":"web1","uuid":"` + x.spec.UUID.String() + `"},"b_info":{"max_vcpus":1,"avail_vcpus":[0],"max_memkb":131072,"target_memkb":131072},"disks":[` + strings.Join(disks, ",") + `]}}]`
	case argv == "xl block-list 2":
		out = "Vdev  BE  handle state evt-ch ring-ref BE-path\n51712 0 2 4 8 8 /local\n"
		if len(x.half) > 0 {
			out += "51728 0 2 4 8 8 /local\n"
		}
	case strings.HasPrefix(argv, "xl block-detach "):
		x.verbs = append(x.verbs, argv)
		if !x.stuck {
			x.half = nil
		}
	default:
		x.verbs = append(x.verbs, argv)
		return &dom0.Error{Args: cmd.Args, ExitCode: 1}
	}
	_, err := io.WriteString(cmd.Stdout, out)
	return err
}

func (x *dom0Host) there() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.domains) > 0
}

// did are the verbs so far.
func (x *dom0Host) did() []string {
	x.state.Lock()
	defer x.state.Unlock()
	return slices.Clone(x.verbs)
}

// empty checks that the pipe and its directory are gone.
func empty(t *testing.T, d *Driver) {
	t.Helper()
	left, err := os.ReadDir(d.opts.TempDir)
	require.NoError(t, err)
	require.Empty(t, left)
}
