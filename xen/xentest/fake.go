package xentest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/cpuid"
	"github.com/xenhost/xenhost/xen/internal/keyed"
)

// ErrOff is what every verb answers between PowerOff and PowerOn.
var ErrOff = errors.New("host is switched off")

// Options makes a Fake other than the default host.
type Options struct {
	// Hostname is "fake" if empty.
	Hostname string
	// Memory is what guests can have in all, in bytes; 0 is 4 GiB.
	Memory int64
	// AnyDisk accepts disk paths that do not exist. Otherwise Create looks at
	// each path with os.Stat.
	AnyDisk bool
	// Bridges are what vifs can be in; nil is any.
	Bridges []string
	// XenVersion is "4.17.7" if empty.
	XenVersion string
	// CPU is what the CPUs have to give; nil is a small one that gives all that
	// it has. See SetCPU.
	CPU *cpuid.Host
	// Program runs in every guest; nil guests only exist. See Program.
	Program Program
}

// Fake is a simulated Xen host: domains with new domids at each start, memory
// that runs out, disks that one domain at a time may write, guests that power
// off, reboot, crash or ignore what they are asked for, zombies, two halves of
// a migration, and a plug that can be pulled. It is safe for concurrent use and
// implements xen.Domains and every role of package xen.
type Fake struct {
	opts  Options
	verbs keyed.Mutex[uuid.UUID] // one verb at a time on a domain
	comes keyed.Mutex[uuid.UUID] // one ReceiveFrom; both halves may be on one host
	power sync.Mutex             // held while it is switched off or on

	mu      sync.Mutex
	alone   map[*domain]bool // see LoseMonitor
	off     bool
	lastID  int
	domains map[int]*domain
	deaf    map[uuid.UUID]bool
	linger  map[uuid.UUID]bool // becomes a zombie when it ends
	faults  []fault
}

var _ interface {
	xen.Domains
	xen.Saver
	xen.Migrator
	xen.Resizer
	xen.Scheduler
	xen.Devices
	xen.Media
	xen.Configurer
	xen.Rebooter
	xen.Consoler
	xen.Screener
	xen.Featurer
} = (*Fake)(nil)

// New returns a host that is switched on and has no guests; opts may be nil.
func New(opts *Options) *Fake {
	f := &Fake{domains: make(map[int]*domain), deaf: make(map[uuid.UUID]bool), linger: make(map[uuid.UUID]bool)}
	if opts != nil {
		f.opts = *opts
	}
	if f.opts.Hostname == "" {
		f.opts.Hostname = "fake"
	}
	if f.opts.XenVersion == "" {
		f.opts.XenVersion = "4.17.7"
	}
	if f.opts.CPU == nil {
		f.opts.CPU = new(CPU("AuthenticAMD", cpuid.Set{"1d": 0x178bfbff, "1c": 0x80b82201, "7b0": 0x29}))
	}
	if f.opts.Memory == 0 {
		f.opts.Memory = 4 << 30
	}
	return f
}

// domain is guarded by Fake.mu, but for what its guest guards itself.
type domain struct {
	spec    xen.Spec  // what it is made of now; changed by change
	next    *xen.Spec // what it will be after its next reboot; nil: spec
	pins    map[int]pin
	cpu     cpuid.Policy // what it saw when it was built
	screen  net.Listener // of Screen; nil: nobody asked for it
	id      int
	state   xen.State
	reason  xen.Reason    // why it shut down
	leaving bool          // a guest event is ending it: its program's return means nothing
	zombie  bool          // gone, but Xen can not free all of it yet
	gone    chan struct{} // closed when it is off the list
	ending  xen.Reason    // set before gone is closed; "" is destroyed
	guest   *Guest
	ran     time.Duration
	since   time.Time // when it last began to run; zero while it does not
}

func (d *domain) view() xen.Domain {
	v := xen.Domain{
		UUID: d.spec.UUID, ID: d.id, Name: d.spec.Name, State: d.state, Reason: d.reason,
		Memory: d.spec.Memory, VCPUs: d.spec.VCPUs, CPUTime: d.ran,
	}
	if !d.since.IsZero() {
		v.CPUTime += time.Since(d.since)
	}
	v.CPUTime = v.CPUTime.Truncate(100 * time.Millisecond) // what xl shows
	if d.zombie {
		v.Name = ""
	}
	return v
}

// setState changes the state and keeps the CPU clock.
func (d *domain) setState(s xen.State) {
	if !d.since.IsZero() {
		d.ran += time.Since(d.since)
		d.since = time.Time{}
	}
	if s == xen.Running {
		d.since = time.Now()
	}
	d.state = s
}

// change changes what d is made of. It needs f.mu.
func (d *domain) change(do func(*xen.Spec)) {
	spec := d.spec.Clone()
	do(&spec)
	d.spec = spec
	d.guest.setSpec(spec)
}

// find returns the domain that is most alive of those with this UUID: there
// are two while it moves inside this host. It needs f.mu.
func (f *Fake) find(id uuid.UUID) (best *domain) {
	alive := []xen.State{xen.Running, xen.Paused, xen.Building, xen.Suspended, xen.Stopped, xen.Crashed, xen.Dying}
	for _, d := range f.domains {
		if d.spec.UUID == id && (best == nil || slices.Index(alive, d.state) < slices.Index(alive, best.state)) {
			best = d
		}
	}
	return best
}

// remove takes d off the list; it needs f.mu and may be called twice. A domain
// that shall be a zombie stays, without anything that runs.
func (f *Fake) remove(d *domain, why xen.Reason) {
	if f.domains[d.id] != d || d.zombie {
		return
	}
	if d.screen != nil {
		d.screen.Close()
	}
	d.guest.console.end()
	d.ending = why
	close(d.gone)
	if f.linger[d.spec.UUID] {
		d.setState(xen.Dying)
		d.zombie = true
		return
	}
	delete(f.domains, d.id)
}

// do runs one verb with the faults that were asked for around it.
func (f *Fake) do(ctx context.Context, op, name string, work func() error) error {
	err := ctx.Err()
	if err == nil {
		err = f.fault(op, false)
	}
	if err == nil {
		err = f.powered()
	}
	if err == nil {
		err = work()
	}
	if err == nil {
		err = f.fault(op, true)
	}
	if err != nil {
		return &xen.Error{Op: op, Name: name, Err: err}
	}
	return nil
}

// doOn is do while holding the domain's lock.
func (f *Fake) doOn(ctx context.Context, op, name string, id uuid.UUID, work func() error) error {
	unlock, err := f.verbs.Lock(ctx, id)
	if err != nil {
		return &xen.Error{Op: op, Name: name, Err: err}
	}
	defer unlock()
	return f.do(ctx, op, name, work)
}

func (f *Fake) powered() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.off {
		return ErrOff
	}
	return nil
}

// List implements xen.Lister.
func (f *Fake) List(ctx context.Context) (list []xen.Domain, err error) {
	err = f.do(ctx, "list", "", func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		list = f.views()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

func (f *Fake) views() []xen.Domain {
	list := make([]xen.Domain, 0, len(f.domains))
	for _, d := range f.domains {
		list = append(list, d.view())
	}
	slices.SortFunc(list, func(a, b xen.Domain) int { return a.ID - b.ID })
	return list
}

// Lookup implements xen.Lister.
func (f *Fake) Lookup(ctx context.Context, id uuid.UUID) (found xen.Domain, err error) {
	err = f.do(ctx, "lookup", id.String(), func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		d := f.find(id)
		if d == nil {
			return fs.ErrNotExist
		}
		found = d.view()
		return nil
	})
	if err != nil {
		return xen.Domain{}, err
	}
	return found, nil
}

// Spec returns what the domain was created from, with its present name.
func (f *Fake) Spec(id uuid.UUID) (xen.Spec, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d := f.find(id); d != nil {
		return d.spec.Clone(), nil
	}
	return xen.Spec{}, fmt.Errorf("xentest: spec of %s: %w", id, fs.ErrNotExist)
}
