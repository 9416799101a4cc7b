package replica

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/durable"
	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/xen/host"
)

// cursor is what the source remembers of one peer's replica of a guest, in
// host.Host.ReplicatingDir, beside an index a disk.
type cursor struct {
	// Last is the generation that the peer has confirmed; nil: none.
	Last *Generation `json:"last,omitempty"`
	// Now is the one that is on its way: its snapshots are there. Disks are
	// those that have arrived.
	Now *Generation `json:"now,omitempty"`
}

// memory is the folder of a cursor, locked.
type memory struct {
	dir  string
	lock *os.File
	cursor
}

const cursorFile = "cursor.json"

// remember opens the folder. host.ErrBusy: another run has it.
func remember(h *host.Host, guest uuid.UUID, peer string) (_ *memory, err error) {
	m := &memory{dir: h.ReplicatingDir(guest, peer)}
	for _, dir := range []string{filepath.Dir(filepath.Dir(m.dir)), filepath.Dir(m.dir), m.dir} {
		if err := durable.MkdirAll(dir); err != nil {
			return nil, err
		}
	}
	if m.lock, err = os.OpenFile(filepath.Join(m.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, err
	}
	if err = unix.Flock(int(m.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		err = fmt.Errorf("%w: another run to %s (%w)", host.ErrBusy, peer, err)
	} else {
		_, err = read(filepath.Join(m.dir, cursorFile), &m.cursor)
	}
	if err != nil {
		return nil, errors.Join(err, m.lock.Close())
	}
	return m, nil
}

func (m *memory) close() { m.lock.Close() }

func (m *memory) save() error { return write(filepath.Join(m.dir, cursorFile), m.cursor) }

func (m *memory) index(dev string) string { return filepath.Join(m.dir, dev+".index") }

// begin writes down what is on its way. What was sent of another run must not be
// gone on with: its snapshots are gone.
func (m *memory) begin(g host.Guest, run uuid.UUID, taken time.Time) error {
	for _, d := range g.Disks {
		if err := durable.Remove(m.index(d.Dev) + ".next"); err != nil {
			return err
		}
	}
	m.Now = &Generation{Run: run, Taken: taken, Guest: g, Disks: make(map[string]blockcopy.Generation)}
	return m.save()
}

// confirmed moves the cursor.
func (m *memory) confirmed(g Generation) error {
	m.Last, m.Now = &g, nil
	return m.save()
}

// drop forgets what is on its way.
func (m *memory) drop() error {
	m.Now = nil
	return m.save()
}

// doubt forgets what the peer has: the next run asks it.
func (m *memory) doubt(g host.Guest) error {
	for _, d := range g.Disks {
		if err := errors.Join(durable.Remove(m.index(d.Dev)), durable.Remove(m.index(d.Dev)+".next")); err != nil {
			return err
		}
	}
	m.Last, m.Now = nil, nil
	return m.save()
}

// arrived tells whether the peer has a disk of this run already, and takes what
// was on its way to the index along: the answer may have been lost.
func (m *memory) arrived(dev string, size int64, there HeldDisk) (_ blockcopy.Generation, err error) {
	if sent, ok := m.Now.Disks[dev]; ok && (sent == there.Staged || sent == there.Generation) {
		return sent, nil
	}
	if there.Staged == (blockcopy.Generation{}) {
		return blockcopy.Generation{}, nil
	}
	x, err := blockcopy.OpenIndex(m.index(dev), size)
	if errors.Is(err, blockcopy.ErrIndex) {
		return blockcopy.Generation{}, nil
	}
	if err != nil {
		return blockcopy.Generation{}, err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	if x.Generation() == there.Staged {
		return there.Staged, nil
	}
	d, err := x.Pending()
	if err != nil || d == nil {
		return blockcopy.Generation{}, err
	}
	if d.To() != there.Staged {
		return blockcopy.Generation{}, d.Close()
	}
	return there.Staged, d.Commit(there.Staged)
}

// fits removes an index of another size: the disk has grown.
func (m *memory) fits(dev string, size int64) (grown bool, err error) {
	x, err := blockcopy.OpenIndex(m.index(dev), size)
	if errors.Is(err, blockcopy.ErrIndex) {
		return true, m.unlearn(dev)
	}
	if err != nil {
		return false, err
	}
	return false, x.Close()
}

func (m *memory) unlearn(dev string) error {
	return errors.Join(durable.Remove(m.index(dev)), durable.Remove(m.index(dev)+".next"))
}

// watch cancels ctx when the guest is no more the host's to replicate: a move of
// it has begun, and must not find its snapshots open.
func watch(ctx context.Context, h *host.Host, guest uuid.UUID, epoch uint64) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if err := owns(h, guest, epoch); err != nil {
					cancel(err)
					return
				}
			}
		}
	}()
	return ctx, func() { cancel(context.Canceled) }
}
