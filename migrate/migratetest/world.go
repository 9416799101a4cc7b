package migratetest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/lvm/lvmtest"
	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/network/networktest"
	"github.com/xenhost/xenhost/shaping"
	"github.com/xenhost/xenhost/shaping/shapingtest"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/xentest"
)

// Options changes a World; nil is two hosts that work in milliseconds.
type Options struct {
	Names  []string          // of the hosts; nil is curacao and islay
	Group  lvmtest.GroupSpec // on each host; the zero value is guests, 256 MiB, extents of 1 MiB
	Memory int64             // of each host for guests, in bytes; 0 is 4 GiB
	Grace  time.Duration     // host.Config.Grace; 0 is 10 s
	Every  time.Duration     // how often a guest writes a record; 0 is 1 ms
	Log    *slog.Logger      // of the hosts and of Serve; nil is silent
}

// World is some simulated hosts and the cables between them. It is safe for
// concurrent use.
type World struct {
	dir      string
	opts     Options
	machines []*Machine

	mu    sync.Mutex
	lives map[uuid.UUID]*life
	noted []error // what should never have happened
	cut   bool
	links []*link
	macs  byte
}

// Machine is one simulated host: the parts that it is composed of, for faults
// and looks from outside. Network and Shaping are others after each PowerOn.
type Machine struct {
	Name    string
	Domains *xentest.Fake
	Volumes *lvmtest.Fake
	Network *networktest.Fake
	Shaping *shapingtest.Fake

	world *World
	host  *host.Host // guarded by World.mu, as off
	off   bool
}

// link is one connection: both its ends, and the Serve behind it.
type link struct {
	from, to string
	a, b     net.Conn
	served   chan struct{} // closed when Serve has returned
}

// NewWorld makes the hosts, empty and switched on, with their files under dir.
func NewWorld(dir string, opts *Options) (*World, error) {
	w := &World{dir: dir, lives: make(map[uuid.UUID]*life)}
	if opts != nil {
		w.opts = *opts
	}
	o := &w.opts
	if o.Names == nil {
		o.Names = []string{"curacao", "islay"}
	}
	if o.Group.Name == "" {
		o.Group = lvmtest.GroupSpec{Name: "guests", Size: 256 << 20, Extent: 1 << 20}
	}
	if o.Grace == 0 {
		o.Grace = 10 * time.Second
	}
	if o.Every == 0 {
		o.Every = time.Millisecond
	}
	for _, name := range o.Names {
		if !xen.ValidName(name) {
			return nil, fmt.Errorf("migratetest: host name %q: %w", name, host.ErrInvalid)
		}
		m := &Machine{Name: name, world: w, Volumes: lvmtest.New(filepath.Join(dir, name, "volumes"), o.Group)}
		m.Domains = xentest.New(&xentest.Options{Hostname: name, Memory: o.Memory, Program: m.program})
		m.compose()
		if _, err := m.Shaping.Apply(context.Background(), shaping.State{Uplink: uplink()}); err != nil {
			return nil, err
		}
		w.machines = append(w.machines, m)
	}
	return w, nil
}

// compose makes the host anew, as the agent's start after a boot does.
func (m *Machine) compose() {
	m.Network, m.Shaping = networktest.New(nil), shapingtest.New(nil)
	m.host = host.New(host.Config{
		Name: m.Name, Domains: m.Domains, Volumes: m.Volumes, Network: m.Network,
		Shaping: m.Shaping, Uplink: uplink(), Peers: m.peers(),
		SharedDirs: []string{m.world.sharedDir()},
		StateDir:   filepath.Join(m.world.dir, m.Name, "state"), Grace: m.world.opts.Grace, Log: m.world.opts.Log,
	})
}

// uplink is each host's line to the world.
func uplink() shaping.Uplink { return shaping.Uplink{Dev: "eth0", Rate: 10 * shaping.Gbit} }

// Close switches all hosts off.
func (w *World) Close() {
	for _, m := range w.machines {
		w.PowerOff(m.Name)
	}
}

// Machine returns a host's parts; it panics if there is none of that name.
func (w *World) Machine(name string) *Machine {
	i := slices.IndexFunc(w.machines, func(m *Machine) bool { return m.Name == name })
	if i < 0 {
		panic("migratetest: no host " + name)
	}
	return w.machines[i]
}

// Host returns a host as a program on it has it. After PowerOn it is another
// one.
func (w *World) Host(name string) *host.Host {
	m := w.Machine(name)
	w.mu.Lock()
	defer w.mu.Unlock()
	return m.host
}

// Guest returns the definition of a guest with one disk of that size, one NIC
// on the default bridge xenint and one forward, to be changed as one likes.
func (w *World) Guest(name string, size int64) host.Guest {
	w.mu.Lock()
	w.macs++
	n := w.macs
	w.mu.Unlock()
	mac, _ := xen.ParseMAC(fmt.Sprintf("00:16:3e:00:00:%02x", n))
	return host.Guest{
		UUID: uuid.New(), Name: name, Type: xen.PVH, Memory: 64 << 20, VCPUs: 1, Kernel: "/boot/vmlinuz",
		Disks: []host.Disk{{Dev: "xvda", Volume: lvm.ID{Group: w.opts.Group.Name, Name: name + "-disk"}, Size: size}},
		Nics:  []host.Nic{{Bridge: "xenint", MAC: mac, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 168, 1, n})}}},
	}
}

// Provision makes a guest on a host, started, and waits for its first record.
func (w *World) Provision(ctx context.Context, on string, g host.Guest) (host.Guest, error) {
	g, err := w.Host(on).Provision(ctx, g, nil)
	if err == nil {
		err = w.Await(ctx, g.UUID, 0)
	}
	return g, err
}

// Dial connects two hosts: the Remote is to as from sees it. It fails while
// the cable is cut or one of the two is off.
func (w *World) Dial(ctx context.Context, from, to string) (*migrate.Remote, error) {
	conn, err := w.Connect(from, to)
	if err != nil {
		return nil, err
	}
	return migrate.Dial(ctx, conn, &migrate.DialOptions{Name: from, Log: w.opts.Log})
}

// Connect is Dial without its protocol: the other end is served by to.
func (w *World) Connect(from, to string) (net.Conn, error) {
	a, b := w.Machine(from), w.Machine(to)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut || a.off || b.off {
		return nil, fmt.Errorf("migratetest: connect %s to %s: %w", from, to, migrate.ErrUnreachable)
	}
	l := &link{from: from, to: to, served: make(chan struct{})}
	l.a, l.b = net.Pipe()
	w.links = append(w.links, l)
	h := b.host
	go func() {
		defer close(l.served)
		_ = migrate.Serve(context.Background(), h, l.b, &migrate.ServeOptions{Log: w.opts.Log}) // ends with the connection
	}()
	return l.a, nil
}

// Cut breaks all connections and lets no new one come up until Mend. It
// returns when nothing is served any more.
func (w *World) Cut() {
	w.mu.Lock()
	w.cut = true
	w.mu.Unlock()
	w.hangUp(func(*link) bool { return true })
}

// Mend repairs the cable; those who were connected have to dial again.
func (w *World) Mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = false
}

// hangUp closes some connections and waits until their Serve has returned, also
// of those that another one is closing.
func (w *World) hangUp(which func(*link) bool) {
	w.mu.Lock()
	var gone []*link
	for _, l := range w.links {
		if which(l) {
			gone = append(gone, l)
		}
	}
	w.mu.Unlock()
	for _, l := range gone {
		l.a.Close()
		l.b.Close()
	}
	for _, l := range gone {
		<-l.served
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.links = slices.DeleteFunc(w.links, func(l *link) bool { return slices.Contains(gone, l) })
}

// PowerOff pulls a host's plug: its guests end where they are, and its
// connections. A mover that runs on that host is a goroutine of the test: let
// it Die, as the host's processes do.
func (w *World) PowerOff(name string) {
	m := w.Machine(name)
	w.mu.Lock()
	m.off = true
	w.mu.Unlock()
	m.Domains.PowerOff()
	w.hangUp(func(l *link) bool { return l.from == name || l.to == name })
}

// PowerOn boots a host: its volumes without the activation-skip flag are
// activated, its network is as empty as after a boot, and its agent starts and
// calls host.Boot, whose report is returned.
func (w *World) PowerOn(ctx context.Context, name string) (host.BootReport, error) {
	m := w.Machine(name)
	if err := m.Volumes.Boot(); err != nil {
		return host.BootReport{}, err
	}
	m.Domains.PowerOn()
	w.mu.Lock()
	m.off = false
	m.compose()
	h := m.host
	w.mu.Unlock()
	return h.Boot(ctx)
}

// Off reports whether a host is switched off.
func (w *World) Off(name string) bool {
	m := w.Machine(name)
	w.mu.Lock()
	defer w.mu.Unlock()
	return m.off
}

// Kill runs f as a process of its own that may be killed: when f calls Die,
// nothing more of it runs but what a kernel does for a dead process, which is
// to close its files and connections. killed tells whether that happened.
func Kill(f func()) (killed bool) {
	killed = true
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
		killed = false
	}()
	<-done
	return killed
}

// Die ends the process that Kill runs, at once, as SIGKILL does. Call it in
// the goroutine that Kill started, for example in migrate.Options.OnStep.
func Die() { runtime.Goexit() }
