package diskrate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/flock"
)

// Options of New; nil and the zero value are right for a dom0.
type Options struct {
	// Group is the name of the control group; empty is xenhost.
	Group string
	// LockDir holds the lock that all processes of a host share; empty is
	// /run/lock/xenhost.
	LockDir string
	// Log gets what was changed (Info); nil is silent.
	Log *slog.Logger
}

// Linux limits the disks of the host that it runs on.
type Linux struct {
	name, lockDir string
	log           *slog.Logger
	backends      func() ([]thread, error)
}

// New returns the manager of this host's disk limits. It needs root and touches
// nothing yet.
func New(opts *Options) *Linux {
	if opts == nil {
		opts = &Options{}
	}
	l := &Linux{name: opts.Group, lockDir: opts.LockDir, log: opts.Log, backends: func() ([]thread, error) { return backends("/proc") }}
	if l.name == "" {
		l.name = "xenhost"
	}
	if l.lockDir == "" {
		l.lockDir = "/run/lock/xenhost"
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	return l
}

// patience bounds how long an operation waits for its turn, beyond the
// caller's own deadline.
const patience = time.Minute

// do runs one operation, alone on this host.
func (l *Linux) do(ctx context.Context, op, name string, work func(group) error) (err error) {
	defer func() {
		if err != nil {
			err = &Error{Op: op, Name: name, Err: err}
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return err
	}
	release, err := flock.Wait(ctx, filepath.Join(l.lockDir, "diskrate.lock"))
	if err != nil {
		return err
	}
	defer release()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	g, err := findGroup(mounts, l.name)
	if err != nil {
		return err
	}
	return work(g)
}

// Read implements Manager.
func (l *Linux) Read(ctx context.Context) (s State, err error) {
	err = l.do(ctx, "read", "", func(g group) error {
		if s.Limits, err = g.limits(); err != nil || len(s.Limits) == 0 {
			return err
		}
		loose, err := l.loose(g)
		for _, t := range loose {
			s.Loose = append(s.Loose, t.name)
		}
		slices.Sort(s.Loose)
		return err
	})
	if err != nil {
		return State{}, err
	}
	return s, nil
}

// Set implements Manager. Where the kernel offers no limits, the zero Limit is
// in force already.
func (l *Linux) Set(ctx context.Context, path string, want Limit) error {
	if err := want.validate(); err != nil {
		return &Error{Op: "set", Name: path, Err: err}
	}
	err := l.do(ctx, "set", path, func(g group) error {
		d, err := deviceOf(path)
		if err != nil {
			return err
		}
		have, err := g.limits()
		if err != nil {
			return err
		}
		if have[d] != want {
			if err := l.change(g, d, want); err != nil {
				return err
			}
			delete(have, d)
		}
		if want == (Limit{}) && len(have) == 0 {
			return g.remove()
		}
		return l.takeIn(g)
	})
	if want == (Limit{}) && errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// change writes a line and reads it back.
func (l *Linux) change(g group, d Device, want Limit) error {
	if err := g.make(); err != nil {
		return err
	}
	if err := g.set(d, want); err != nil {
		return err
	}
	l.log.Info("disk rate", "device", d, "limit", want)
	have, err := g.limits()
	if err == nil && have[d] != want {
		err = fmt.Errorf("read back and not as asked: %v is %v", d, have[d])
	}
	return err
}

// deviceOf is the number of a device node.
func deviceOf(path string) (Device, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		if errors.Is(err, unix.ENOENT) {
			err = fs.ErrNotExist
		}
		return Device{}, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return Device{}, fmt.Errorf("no block device: %w", ErrInvalid)
	}
	d := Device{unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev))}
	if _, err := os.Stat(fmt.Sprintf("/sys/dev/block/%v/partition", d)); err == nil {
		return Device{}, fmt.Errorf("a partition can not be limited: %w", ErrInvalid)
	}
	return d, nil
}

// Refresh implements Manager. Without limits it does nothing, also where there
// can be none.
func (l *Linux) Refresh(ctx context.Context) error {
	err := l.do(ctx, "refresh", "", func(g group) error {
		have, err := g.limits()
		if err != nil || len(have) == 0 {
			return err
		}
		return l.takeIn(g)
	})
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// loose lists the threads that are not in the group.
func (l *Linux) loose(g group) ([]thread, error) {
	all, err := l.backends()
	if err != nil {
		return nil, err
	}
	in, err := g.threads()
	return slices.DeleteFunc(all, func(t thread) bool { return slices.Contains(in, t.id) }), err
}

// takeIn moves all loose threads into the group.
func (l *Linux) takeIn(g group) error {
	loose, err := l.loose(g)
	for _, t := range loose {
		if moved := move(g.dir, t.id); moved != nil {
			err = errors.Join(err, fmt.Errorf("thread %s: %w", t.name, moved))
			continue
		}
		l.log.Info("disk rate", "takes in", t.name)
	}
	return err
}
