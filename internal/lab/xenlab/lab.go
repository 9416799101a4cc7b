package xenlab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// EnvDir names the folder of the lab instead of xenhost-lab in the user's cache folder.
const EnvDir = "XENHOST_LAB_DIR"

// Hosts are the names of the hosts there can be, in the order of their numbers from 1.
func Hosts() []string { return []string{"curacao", "islay", "texel"} }

// Options of a lab; nil is the zero value.
type Options struct {
	// Log receives each step; nil is silent.
	Log *slog.Logger
	// Tied hosts die with this process; otherwise they go on until Down.
	Tied bool
	// CPU is the QEMU CPU model with flags by host, in place of DefaultCPU. A
	// host with another CPU has disks and a saved state of its own.
	CPU map[string]string
}

// Lab is the one lab of this machine, as far as this process is concerned.
type Lab struct {
	dir     string
	log     *slog.Logger
	tied    bool
	lock    *os.File
	hosts   map[string]*Host
	retried atomic.Int64

	wiring   sync.Mutex // of the namespace
	prepare  sync.Mutex
	prepared *image
}

// Dir returns the folder of the lab when none is given: $XENHOST_LAB_DIR, or
// xenhost-lab in the user's cache folder.
func Dir() (string, error) {
	if dir := os.Getenv(EnvDir); dir != "" {
		return filepath.Abs(dir)
	}
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "xenhost-lab"), err
}

// Open takes the lab of this machine for this process, and waits while another
// one has it. dir "" is Dir. The lock goes with the process, or with Close.
func Open(ctx context.Context, dir string, o *Options) (*Lab, error) {
	l, err := Join(dir, o)
	if err != nil {
		return nil, err
	}
	if err := l.takeLock(ctx); err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	return l, nil
}

// Join returns the lab without taking it: for looking, and for commands on
// hosts that another process, or none, has up.
func Join(dir string, o *Options) (*Lab, error) {
	if o == nil {
		o = &Options{}
	}
	if dir == "" {
		var err error
		if dir, err = Dir(); err != nil {
			return nil, fmt.Errorf("lab: %w", err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "run"), 0o700); err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	l := &Lab{dir: dir, log: o.Log, tied: o.Tied, hosts: make(map[string]*Host)}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	for i, name := range Hosts() {
		m := Machine{Name: name, Number: i + 1, CPU: DefaultCPU}
		if cpu := o.CPU[name]; cpu != "" {
			m.CPU = cpu
		}
		l.hosts[name] = &Host{lab: l, machine: m}
	}
	return l, nil
}

// Close gives the lab to the next process. Hosts go on, unless they are tied
// and the process ends.
func (l *Lab) Close() error {
	if l.lock == nil {
		return nil
	}
	err := l.lock.Close()
	l.lock = nil
	return err
}

// takeLock waits for the lock in the kernel's queue, so that who came first has
// it first. A waiter that gives up leaves a goroutine there, which gives the
// lock back as soon as it has it.
func (l *Lab) takeLock(ctx context.Context) error {
	f, err := os.OpenFile(filepath.Join(l.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	got := make(chan error, 1)
	go func() {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		for errors.Is(err, unix.EINTR) {
			err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		}
		got <- os.NewSyscallError("flock", err)
	}()
	select {
	case err = <-got:
	case <-time.After(200 * time.Millisecond):
		holder, _ := io.ReadAll(io.NewSectionReader(f, 0, 200))
		l.log.Info("waiting for the lab", "holder", string(holder))
		select {
		case err = <-got:
		case <-ctx.Done():
			go func() { <-got; f.Close() }()
			return fmt.Errorf("another process has the lab: %w", ctx.Err())
		}
	}
	if err != nil {
		f.Close()
		return err
	}
	_ = f.Truncate(0)
	_, _ = fmt.Fprintf(f, "pid %d: %s", os.Getpid(), filepath.Base(os.Args[0]))
	l.lock = f
	return nil
}

// Host returns a host by name. One that there can not be is fs.ErrNotExist.
func (l *Lab) Host(name string) (*Host, error) {
	h, ok := l.hosts[name]
	if !ok {
		return nil, fmt.Errorf("lab: host %q: %w (there are %v)", name, fs.ErrNotExist, Hosts())
	}
	return h, nil
}

// Retried returns how many boots failed and were tried again.
func (l *Lab) Retried() int { return int(l.retried.Load()) }

// Up has the named hosts running: those that run stay as they are, the others
// resume from what Save kept, or else from the moment after their first boot.
// No names: curacao and islay.
func (l *Lab) Up(ctx context.Context, names ...string) error {
	return l.each(ctx, names, (*Host).up)
}

// Fresh has the named hosts running as they were after their first boot, disks
// included, whatever they did since. No names: curacao and islay. Other hosts
// are stopped, so that each test starts in the same world.
func (l *Lab) Fresh(ctx context.Context, names ...string) error {
	names = orDefault(names)
	for name, h := range l.hosts {
		if !slices.Contains(names, name) {
			if err := h.stop(ctx, unix.SIGTERM); err != nil {
				return err
			}
		}
	}
	return l.each(ctx, names, (*Host).fresh)
}

// Save keeps the running state of the named hosts for the next Up.
func (l *Lab) Save(ctx context.Context, names ...string) error {
	return l.each(ctx, names, func(h *Host, ctx context.Context) error { return h.Save(ctx) })
}

// Down stops every host, with its disks as they are, and takes the networks away.
func (l *Lab) Down(ctx context.Context) error {
	var errs []error
	for _, h := range l.hosts {
		errs = append(errs, h.stop(ctx, unix.SIGTERM))
	}
	return errors.Join(append(errs, l.internet().remove(ctx))...)
}

// Reset is Down, and throws the disks and saved states away: the next start of
// a host is its first. The image stays.
func (l *Lab) Reset(ctx context.Context) error {
	if err := l.Down(ctx); err != nil {
		return err
	}
	disks, err := filepath.Glob(filepath.Join(l.dir, "image-*", "*.qcow2"))
	for _, name := range disks {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

// each does one thing on several hosts at the same time.
func (l *Lab) each(ctx context.Context, names []string, do func(*Host, context.Context) error) error {
	names = orDefault(names)
	hosts := make([]*Host, len(names))
	for i, name := range names {
		var err error
		if hosts[i], err = l.Host(name); err != nil {
			return err
		}
	}
	errs := make([]error, len(hosts))
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Go(func() { errs[i] = do(h, ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func orDefault(names []string) []string {
	if len(names) == 0 {
		return Hosts()[:2]
	}
	return names
}

// digest is the name that what is made of these parts goes by.
func digest(parts ...[]byte) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d\n", len(p))
		h.Write(p)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}
