package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/internal/lab/record"
	"github.com/xenhost/xenhost/internal/lab/xenlab"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// world is two real hosts with our commands on them, and an observer on the
// Internet.
type world struct {
	t              *testing.T
	lab            *xenlab.Lab
	curacao, islay *xenlab.Host
	observer       *xenlab.Observer
}

// Volumes are small because ssh between emulated hosts carries 2 MB/s. The
// image is bytes that do not compress, so that a copy takes its time.
const (
	guestSize = 32 << 20
	imageSize = 8 << 20
)

func newWorld(t *testing.T, lab *xenlab.Lab) *world {
	t.Helper()
	w := &world{t: t, lab: lab, curacao: lab.MustHost(t, "curacao"), islay: lab.MustHost(t, "islay")}
	var err error
	w.observer, err = lab.Observe()
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, w.observer.Close()) })

	dir := t.TempDir()
	for name, pkg := range map[string]string{
		"xenhost-agent": "examples/agent", "xenhost-provision": "examples/provision",
		"xenhost-move": "examples/move", "xenhost-nightly": "examples/nightly", "xenhost-shape": "examples/shape", "killmove": "internal/e2e/killmove", "relaymove": "internal/e2e/relaymove",
	} {
		build := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", filepath.Join(dir, name), "github.com/xenhost/xenhost/"+pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := build.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	for _, h := range []*xenlab.Host{w.curacao, w.islay} {
		require.NoError(t, h.Put(t.Context(), dir, "/usr/local/bin"))
		settings, err := json.Marshal(cli.Settings{
			Name:        h.Name(),
			Masquerades: []network.Masquerade{{Source: netip.MustParsePrefix("192.168.0.0/24"), Out: "xenext"}},
			Grace:       "120s",
		})
		require.NoError(t, err)
		require.NoError(t, h.Write(t.Context(), "/etc/xenhost/host.json", settings, 0o644))
		w.run(h, "sync") // or a power failure takes it all
		w.run(h, "xenhost-agent", "boot")
	}
	return w
}

// in is the same world for a subtest.
func (w *world) in(t *testing.T) *world {
	sub := *w
	sub.t = t
	return &sub
}

// owner reads a guest's owner record on a host.
func (w *world) owner(g guest, h *xenlab.Host) owner.Record {
	w.t.Helper()
	var all []host.Status
	require.NoError(w.t, json.Unmarshal([]byte(w.run(h, "xenhost-agent", "list", "--json")), &all))
	for _, s := range all {
		if s.Guest.Name == g.name {
			return s.Owner
		}
	}
	w.t.Fatalf("%s knows no guest %s: %+v", h.Name(), g.name, all)
	return owner.Record{}
}

// run runs a command in a host's dom0 and returns what it printed.
func (w *world) run(h *xenlab.Host, argv ...string) string {
	w.t.Helper()
	start := time.Now()
	out, err := h.Run(w.t.Context(), argv...)
	w.t.Logf("%s: %s (%v)\n%s", h.Name(), strings.Join(argv, " "), time.Since(start).Round(100*time.Millisecond), out)
	require.NoError(w.t, err)
	return string(out)
}

// refused runs a command that must fail, and returns what it said.
func (w *world) refused(h *xenlab.Host, argv ...string) string {
	w.t.Helper()
	_, err := h.Run(w.t.Context(), argv...)
	require.Error(w.t, err, "%s: %s was expected to fail", h.Name(), strings.Join(argv, " "))
	var failed *dom0.Error
	require.ErrorAs(w.t, err, &failed)
	w.t.Logf("%s: %s: exit %d\n%s", h.Name(), strings.Join(argv, " "), failed.ExitCode, failed.Stderr)
	return failed.Stderr
}

// lines hands each line of a running command's stderr to a function.
type lines struct {
	f    func(string)
	rest []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		l.rest = rest
		l.f(string(line))
	}
}

// watch runs a command and calls f for each line that it says.
func (w *world) watch(ctx context.Context, h *xenlab.Host, f func(line string), argv ...string) ([]byte, error) {
	var out bytes.Buffer
	err := h.Runner().Run(ctx, dom0.Cmd{Args: argv, Stdout: &out, Stderr: &lines{f: func(line string) {
		w.t.Logf("%s: %s", h.Name(), line)
		f(line)
	}}})
	return out.Bytes(), err
}

// guest is a lab guest that the tests provision.
type guest struct {
	name, kind, ip, mac string
	port                int
}

var (
	web  = guest{name: "web", kind: "pvh", ip: "192.168.0.10", mac: "00:16:3e:00:00:10", port: 8080}
	db   = guest{name: "db", kind: "pv", ip: "192.168.0.11", mac: "00:16:3e:00:00:11", port: 8081}
	mail = guest{name: "mail", kind: "pvh", ip: "192.168.0.12", mac: "00:16:3e:00:00:12", port: 8082}
)

func (g guest) volume() string { return "/dev/guests/" + g.name }

// provision makes the guest on curacao from a golden image, and waits until it
// has acknowledged a record.
func (w *world) provision(g guest) { w.provisionOn(w.curacao, g, "192.168.0.1") }

// provisionOn is provision on either host, with a default route.
func (w *world) provisionOn(h *xenlab.Host, g guest, gateway string) {
	t := w.t
	t.Helper()
	header := filepath.Join(t.TempDir(), "header")
	f, err := os.Create(header)
	require.NoError(t, err)
	var id record.ID
	_, err = rand.Read(id[:])
	require.NoError(t, err)
	require.NoError(t, record.Format(f, guestSize, id))
	require.NoError(t, f.Close())
	golden := "/lab/golden-" + g.name + ".img"
	require.NoError(t, h.Put(t.Context(), header, golden))
	w.run(h, "dd", "if=/dev/urandom", "of="+golden, "bs=4k", "seek=1", fmt.Sprintf("count=%d", imageSize/4096-1), "status=none")

	args := xenlab.Guest{Name: g.name, IP: g.ip + "/24", Gateway: gateway, Ack: w.observer.Addr(), Rate: 4}
	argv := []string{
		"xenhost-provision", g.name, "--type", g.kind, "--memory", "128M",
		"--disk", "guests/" + g.name + ":32M", "--image", golden,
		"--kernel", xenlab.GuestKernel, "--ramdisk", xenlab.GuestRamdisk, "--cmdline", args.Args(),
		"--bridge", "xenint", "--mac", g.mac, "--ip", g.ip,
		"--forward", fmt.Sprintf("tcp:%d:%s:80", g.port, g.ip), "--return", "ingress",
	}
	if g.kind == "pvh" {
		argv = append(argv, "--tsc-mode", "native")
	}
	w.run(h, argv...)
	w.acknowledges(g, 1)
}

// acknowledges waits until the guest has made n durable records more.
func (w *world) acknowledges(g guest, n uint64) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Minute)
	defer cancel()
	require.NoError(w.t, w.observer.Wait(ctx, g.name, w.observer.Acked(g.name)+n))
}

// answers asks the guest through the forward of a host, from the Internet.
func (w *world) answers(g guest, h *xenlab.Host) {
	w.t.Helper()
	w.opens(fmt.Sprintf("http://%s:%d/", h.ExternalIP(), g.port), "hello from "+g.name)
}

// opens waits until the Internet gets a page with this text.
func (w *world) opens(url, text string) {
	t := w.t
	t.Helper()
	var body []byte
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var err error
		body, err = w.lab.Internet().Get(ctx, url)
		require.NoError(c, err)
	}, 10*time.Minute, time.Second, url)
	require.Contains(t, string(body), text)
	t.Logf("%s: %s", url, bytes.TrimSpace(body))
}

// runs tells on which hosts a domain of that name runs.
func (w *world) runs(g guest) (on []string) {
	w.t.Helper()
	for _, h := range []*xenlab.Host{w.curacao, w.islay} {
		out, err := h.Run(w.t.Context(), "xl", "list", "-v")
		require.NoError(w.t, err)
		for line := range strings.Lines(string(out)) {
			if f := strings.Fields(line); len(f) > 0 && f[0] == g.name {
				on = append(on, h.Name())
			}
		}
	}
	return on
}

// records takes a snapshot of the guest's volume where it runs and tells what
// is on it: every acknowledged record must be.
func (w *world) records(g guest, h *xenlab.Host) record.Position {
	t := w.t
	t.Helper()
	acked := w.observer.Acked(g.name)
	w.run(h, "lvcreate", "-qq", "-y", "-s", "-c", "4k", "-L", "32M", "-kn", "-n", "look", "guests/"+g.name)
	at := w.read(h, "/dev/guests/look", acked)
	w.run(h, "lvremove", "-qq", "-y", "guests/look")
	t.Logf("%s on %s: last record %d, boots %d; acknowledged %d", g.name, h.Name(), at.Last, at.Boots, acked)
	return at
}

// read copies a device and proves the chain of records on it.
func (w *world) read(h *xenlab.Host, device string, acked uint64) record.Position {
	t := w.t
	t.Helper()
	image := filepath.Join(t.TempDir(), "disk.img")
	require.NoError(t, h.Get(t.Context(), device, image))
	f, err := os.Open(image)
	require.NoError(t, err)
	defer f.Close()
	at, err := record.Verify(f, guestSize)
	require.NoError(t, err)
	require.GreaterOrEqual(t, at.Last, acked, "acknowledged records were lost")
	return at
}

// sum is the SHA-256 of a guest's fenced volume. An operator who insists can
// activate it; it is put back as it was.
func (w *world) sum(g guest, h *xenlab.Host) string {
	w.t.Helper()
	w.run(h, "lvchange", "-ay", "-K", "guests/"+g.name)
	out := w.run(h, "sha256sum", g.volume())
	w.run(h, "lvchange", "-an", "guests/"+g.name)
	return strings.Fields(out)[0]
}

// noStart proves that a host can not start a guest that was handed away: not
// by a boot script, not by an admin with the old configuration, not by us.
func (w *world) noStart(g guest, h *xenlab.Host) {
	t := w.t
	t.Helper()
	w.run(h, "vgchange", "-ay")
	require.NotContains(t, w.run(h, "lvs", "--noheadings", "-o", "lv_name,lv_active", "guests"), g.name+" active")
	w.refused(h, "test", "-e", g.volume())
	old := fmt.Sprintf("name = %q\nuuid = %q\ntype = %q\nmemory = 128\nkernel = %q\nramdisk = %q\ntsc_mode = \"native\"\ndisk = [ \"phy:%s,xvda,w\" ]\n",
		g.name, uuid.NewString(), g.kind, xenlab.GuestKernel, xenlab.GuestRamdisk, g.volume())
	require.NoError(t, h.Write(t.Context(), "/etc/xen/"+g.name+".cfg", []byte(old), 0o600))
	require.Contains(t, w.refused(h, "xl", "create", "/etc/xen/"+g.name+".cfg"), g.volume(), "it is the missing volume that xl stumbles over")
	report := w.run(h, "xenhost-agent", "boot", "--json")
	require.NotContains(t, report, "started")
	require.NotContains(t, w.runs(g), h.Name())
}
