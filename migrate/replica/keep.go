package replica

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path/filepath"
	"sync"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/internal/durable"
	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// Local is this host's Keeper.
type Local struct {
	host *host.Host
	hold *host.Hold
	from string
	dir  string

	mu    sync.Mutex
	offer Offer // of Begin; no Run: none
	last  *Generation
	disks map[string]*disk
}

var _ Keeper = (*Local)(nil)

// disk is an open volume and what is remembered of it.
type disk struct {
	device  lvm.Device
	folder  *blockcopy.Folder
	replica *blockcopy.Replica
	fresh   bool
}

// Keep holds the replica of a guest of the host from, or returns host.ErrBusy
// at once.
func Keep(h *host.Host, from string, guest uuid.UUID) (*Local, error) {
	hold, err := h.Hold(guest)
	if err != nil {
		return nil, err
	}
	return &Local{host: h, hold: hold, from: from, dir: h.ReplicaDir(guest)}, nil
}

// Begin implements Keeper.
func (l *Local) Begin(ctx context.Context, o Offer) (Held, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var held Held
	last, err := load(l.dir)
	switch {
	case err != nil:
		return held, err
	case o.Run == uuid.Nil || o.Epoch == 0:
		return held, fmt.Errorf("%w: a run without a number or an epoch", host.ErrInvalid)
	case last != nil && (o.Epoch < last.Epoch || o.Epoch == last.Epoch && l.from != last.From):
		return held, fmt.Errorf("%w: epoch %d of %s; here is one of epoch %d of %s", ErrSuperseded, o.Epoch, l.from, last.Epoch, last.From)
	}
	if err := l.open(ctx, o.Guest, o.Epoch); err != nil {
		return held, err
	}
	if err := l.recover(ctx); err != nil {
		return held, err
	}
	if err := l.begin(o.Run); err != nil {
		return held, err
	}
	l.offer = o
	held.Generation, held.Disks = l.last, make(map[string]HeldDisk, len(l.disks))
	for dev, d := range l.disks {
		held.Disks[dev] = HeldDisk{Generation: d.replica.Generation(), Staged: d.replica.Staged(), Fresh: d.fresh && !d.replica.Begun()}
	}
	return held, nil
}

// open makes room for the replica, and opens its volumes.
func (l *Local) open(ctx context.Context, g host.Guest, epoch uint64) error {
	if err := l.shut(); err != nil {
		return err
	}
	if err := durable.MkdirAll(filepath.Dir(l.dir)); err != nil {
		return err
	}
	if err := durable.MkdirAll(l.dir); err != nil {
		return err
	}
	fresh, err := l.hold.KeepReplica(ctx, g, epoch, l.from, func(dev string) error { return forget(l.dir, dev) })
	if err != nil {
		return err
	}
	l.disks = make(map[string]*disk, len(g.Disks))
	for _, d := range g.Disks {
		if err := l.openDisk(ctx, d, fresh[d.Dev]); err != nil {
			return fmt.Errorf("disk %s: %w", d.Dev, errors.Join(err, l.shut()))
		}
	}
	return nil
}

func (l *Local) openDisk(ctx context.Context, d host.Disk, fresh bool) error {
	device, err := l.host.Volumes().Open(ctx, d.Volume)
	if err != nil {
		return err
	}
	now := &disk{device: device, fresh: fresh}
	l.disks[d.Dev] = now
	if now.folder, err = blockcopy.OpenStore(filepath.Join(l.dir, d.Dev)); err != nil {
		return err
	}
	now.replica, err = blockcopy.OpenReplica(ctx, device, now.folder)
	return err
}

// forget is for a volume whose content is none of the replica's: neither it nor
// a generation that it was a part of is there any more.
func forget(dir, dev string) error {
	last, err := load(dir)
	if err != nil {
		return err
	}
	if err := durable.Remove(filepath.Join(dir, nextFile)); err != nil {
		return err
	}
	if _, ok := last.disk(dev); ok {
		if err := durable.Remove(filepath.Join(dir, generationFile)); err != nil {
			return err
		}
	}
	folder, err := blockcopy.OpenStore(filepath.Join(dir, dev))
	if err != nil {
		return err
	}
	return errors.Join(folder.Save(blockcopy.State{}), folder.Log().Truncate(0), folder.Close())
}

func (g *Generation) disk(dev string) (blockcopy.Generation, bool) {
	if g == nil {
		return blockcopy.Generation{}, false
	}
	d, ok := g.Disks[dev]
	return d, ok
}

// begin drops what the redo logs have of another run.
func (l *Local) begin(run uuid.UUID) error {
	path := filepath.Join(l.dir, runFile)
	var was struct{ Run uuid.UUID }
	if _, err := read(path, &was); err != nil {
		return err
	}
	if was.Run == run {
		return nil
	}
	for _, d := range l.disks {
		if err := d.replica.Unstage(); err != nil {
			return err
		}
	}
	was.Run = run
	return write(path, was)
}

// Serve answers the Push of a disk on conn until that ends. When ctx ends, it
// returns as soon as a Read or Write that is under way does.
func (l *Local) Serve(ctx context.Context, dev string, conn io.ReadWriter) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return blockcopy.Serve(ctx, conn, func(context.Context, blockcopy.Request) (*blockcopy.Target, error) {
		d := l.disks[dev]
		if d == nil || l.offer.Run == uuid.Nil {
			return nil, fmt.Errorf("disk %q: %w", dev, fs.ErrNotExist)
		}
		fresh := d.fresh
		d.fresh = false
		return &blockcopy.Target{Volume: d.device, Fresh: fresh, Replica: d.replica, Stage: true, Close: func() error { return nil }}, nil
	})
}

// Push implements Keeper.
func (l *Local) Push(ctx context.Context, dev string) (io.ReadWriteCloser, error) {
	here, there := net.Pipe()
	go func() {
		_ = l.Serve(ctx, dev, there) // what it says, Push says too
		there.Close()
	}()
	return here, nil
}

// Sum implements Keeper.
func (l *Local) Sum(ctx context.Context, dev string) (sum [sha256.Size]byte, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.disks[dev]
	if d == nil {
		return sum, fmt.Errorf("disk %q: %w", dev, fs.ErrNotExist)
	}
	return blockcopy.Sum(ctx, d.device, d.device.Size())
}

// Close gives the replica back: its volumes have no device nodes then.
func (l *Local) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.shut()
	if r, recordErr := l.hold.Record(); recordErr == nil && r.State == owner.Replica {
		err = errors.Join(err, l.hold.RestReplica(context.Background()))
	}
	l.hold.Release()
	return err
}

// shut closes what is open.
func (l *Local) shut() error {
	var errs []error
	for _, d := range l.disks {
		errs = append(errs, d.device.Close())
		if d.folder != nil {
			errs = append(errs, d.folder.Close())
		}
	}
	l.disks, l.offer = nil, Offer{}
	return errors.Join(errs...)
}
