package xentest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/xenhost/xenhost/xen"
)

// ErrGone is what a Guest's Step and Wait return once the guest has no CPU any
// more: destroyed, crashed or without power.
var ErrGone = errors.New("guest is gone")

// Program is what runs inside a simulated guest: it can read and write the
// guest's disks and answer on sockets.
//
// It is started when the domain first runs. Its ctx is cancelled when the guest
// is asked to power off, and when it is destroyed; Guest.Alive tells which.
// When it returns by itself, the guest has powered off. It must return soon
// after ctx ends: Shutdown waits for the grace, Destroy and PowerOff wait
// without limit, so that nothing of a guest runs after its domain is gone. A
// program that must not touch its disks after a Destroy does its writes inside
// Guest.Step. It must not call the Fake about its own domain.
type Program func(ctx context.Context, g *Guest)

// Guest is what a Program sees of its domain.
type Guest struct {
	console *tty
	ctx     context.Context // ends when a poweroff is asked for, or with the guest
	ask     context.CancelFunc
	dead    chan struct{} // closed when the guest has no CPU any more
	over    chan struct{} // closed when the program has returned

	steps sync.RWMutex // read: a step is under way

	mu      sync.Mutex
	spec    xen.Spec
	memory  []byte        // what the program remembers
	running chan struct{} // closed while the guest is not paused
	begun   bool
}

func newGuest(spec xen.Spec) *Guest {
	ctx, ask := context.WithCancel(context.Background())
	console := newTTY()
	context.AfterFunc(ctx, func() { console.set(&console.down) })
	return &Guest{
		spec: spec.Clone(), console: console, ctx: ctx, ask: ask,
		dead: make(chan struct{}), over: make(chan struct{}), running: make(chan struct{}),
	}
}

// Spec returns what the domain is made of now.
func (g *Guest) Spec() xen.Spec {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.spec.Clone()
}

func (g *Guest) setSpec(spec xen.Spec) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.spec = spec.Clone()
}

// Remember keeps a copy of data as the guest's memory: what Save and a
// migration carry along, and what is lost at a reboot.
func (g *Guest) Remember(data []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.memory = bytes.Clone(data)
}

// Memory returns what was remembered last, before a Save or a migration too. A
// Program finds out by it that it goes on and does not boot.
func (g *Guest) Memory() []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	return bytes.Clone(g.memory)
}

// Console is the guest's side of its console. Write never waits: what nobody
// reads is kept up to 64 KiB. Read waits for what Fake.Console gets written, and
// ends with io.EOF when the guest is to go down.
func (g *Guest) Console() io.ReadWriter { return guestSide{g.console} }

// Disk returns the path behind a device as xvda, or "" if there is none.
func (g *Guest) Disk(dev string) string {
	for _, d := range g.Spec().Disks {
		if d.Dev == dev {
			return d.Path
		}
	}
	return ""
}

// Alive reports whether the guest still has a CPU. A paused guest is alive.
func (g *Guest) Alive() bool {
	select {
	case <-g.dead:
		return false
	default:
		return true
	}
}

// Wait blocks while the guest is paused. It returns ErrGone when the guest has
// ended, or ctx's error; give it context.Background() for what is still to be
// done after a poweroff was asked for.
func (g *Guest) Wait(ctx context.Context) error {
	return g.Step(ctx, func() error { return nil })
}

// Step does one piece of the guest's work and returns its error: not while the
// guest is paused, and never after its end (ErrGone). Pause, Destroy and
// PowerOff return when a step that is under way has ended, so work must be
// short and must not wait for them.
func (g *Guest) Step(ctx context.Context, work func() error) error {
	for {
		g.mu.Lock()
		running := g.running
		g.mu.Unlock()
		select {
		case <-g.dead:
			return ErrGone
		case <-ctx.Done():
			return ctx.Err()
		case <-running:
		}
		if done, err := g.try(running, work); done {
			return err
		}
	}
}

// try does the work unless the guest was paused or ended since.
func (g *Guest) try(running chan struct{}, work func() error) (done bool, err error) {
	g.steps.RLock()
	defer g.steps.RUnlock()
	g.mu.Lock()
	same := g.running == running
	g.mu.Unlock()
	if !g.Alive() {
		return true, ErrGone
	}
	if !same {
		return false, nil
	}
	return true, work()
}

// run starts the program; after is called when it has returned.
func (g *Guest) run(p Program, after func()) {
	g.mu.Lock()
	g.begun = true
	g.mu.Unlock()
	go func() {
		defer close(g.over)
		p(g.ctx, g)
		after()
	}()
}

func (g *Guest) started() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.begun
}

// wait returns when the program has; kill or ask comes first.
func (g *Guest) wait() {
	if g.started() {
		<-g.over
	}
	g.settle()
}

// settle waits for the step that is under way.
func (g *Guest) settle() {
	g.steps.Lock()
	defer g.steps.Unlock()
}

func (g *Guest) pause() {
	g.mu.Lock()
	select {
	case <-g.running:
		g.running = make(chan struct{})
	default: // paused already
	}
	g.mu.Unlock()
	g.settle()
}

func (g *Guest) resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.running:
	default:
		close(g.running)
	}
}

// kill takes the CPU away; it does not wait.
func (g *Guest) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.Alive() {
		close(g.dead)
	}
	g.ask()
}
