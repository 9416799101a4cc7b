package lvmtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"

	"github.com/xenhost/xenhost/lvm"
)

// Open implements lvm.Content.
func (f *Fake) Open(ctx context.Context, id lvm.ID) (lvm.Device, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	after, err := f.begin(ctx, "open")
	if err == nil {
		err = after
	}
	if err != nil {
		return nil, failed("open", id.String(), err)
	}
	d, err := f.open(id)
	if err != nil {
		return nil, failed("open", id.String(), err)
	}
	return d, nil
}

func (f *Fake) open(id lvm.ID) (*device, error) {
	g, v, err := f.find(id)
	switch {
	case err != nil:
		return nil, err
	case v.Kind == lvm.Pool:
		return nil, fmt.Errorf("%w: a pool has no content", errors.ErrUnsupported)
	case v.Unwiped():
		return nil, lvm.ErrUnwiped
	case !v.Active:
		return nil, lvm.ErrInactive
	}
	if v.Kind == lvm.Snapshot {
		if _, err := f.changed(g, v); err != nil {
			return nil, err
		}
	}
	file, err := os.OpenFile(f.path(id), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	d := &device{fake: f, volume: v, file: file, size: v.Size}
	if v.handles == nil {
		v.handles = make(map[*device]bool)
	}
	v.handles[d] = true
	return d, nil
}

// Changed implements lvm.Content: it compares the origin with the copy that
// Snapshot made, so a write of the same bytes does not show. What a thin volume
// was discarded, or overwritten with zeros, is an lvm.Discard.
func (f *Fake) Changed(ctx context.Context, snapshot lvm.ID) ([]lvm.Extent, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	after, err := f.begin(ctx, "changed")
	if err == nil {
		err = after
	}
	if err != nil {
		return nil, failed("changed", snapshot.String(), err)
	}
	g, v, err := f.find(snapshot)
	if err != nil {
		return nil, failed("changed", snapshot.String(), err)
	}
	extents, err := f.changed(g, v)
	if err != nil {
		return nil, failed("changed", snapshot.String(), err)
	}
	return extents, nil
}

func (f *Fake) changed(g *group, v *volume) ([]lvm.Extent, error) {
	origin, ok := g.volumes[v.Origin]
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: it is no snapshot", lvm.ErrInvalid)
	case v.Kind == lvm.Thin && !origin.Active:
		return nil, fmt.Errorf("origin %s: %w", origin.Name, lvm.ErrInactive)
	case v.Kind == lvm.Thin:
		return differences(f.path(origin.ID), f.content(v), origin.Size, g.volumes[v.Pool].block)
	case !v.Active:
		return nil, lvm.ErrInactive
	case v.overflow:
		return nil, lvm.ErrSnapshotInvalid
	}
	extents, err := differences(f.path(origin.ID), f.path(v.ID), v.Size, lvm.ChunkSize)
	if err != nil {
		return nil, err
	}
	if lvm.SnapshotRoom(total(extents)) > v.room {
		v.overflow = true
		return nil, lvm.ErrSnapshotInvalid
	}
	return extents, nil
}

// device is an open volume of a Fake.
type device struct {
	fake   *Fake
	volume *volume
	file   *os.File
	size   int64
	closed atomic.Bool
}

// ReadAt implements io.ReaderAt.
func (d *device) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("%w offset %d", lvm.ErrInvalid, off)
	}
	if off >= d.size {
		return 0, io.EOF
	}
	return d.file.ReadAt(p, off)
}

// WriteAt implements io.WriterAt. It never makes the volume longer.
func (d *device) WriteAt(p []byte, off int64) (int, error) {
	if err := d.inside(off, int64(len(p))); err != nil {
		return 0, err
	}
	if err := d.fake.faults.tear(); err != nil {
		n, _ := d.file.WriteAt(p[:len(p)/2], off)
		return n, err
	}
	return d.file.WriteAt(p, off)
}

// Zero implements lvm.Device.
func (d *device) Zero(offset, length int64) error {
	if err := d.inside(offset, length); err != nil {
		return err
	}
	return zero(d.file, offset, length)
}

func (d *device) inside(offset, length int64) error {
	if offset < 0 || length < 0 || offset > d.size || length > d.size-offset {
		return fmt.Errorf("%w range: %d bytes at %d of %d", lvm.ErrInvalid, length, offset, d.size)
	}
	return nil
}

// Size implements lvm.Device.
func (d *device) Size() int64 { return d.size }

// Sync implements lvm.Device.
func (d *device) Sync() error { return d.file.Sync() }

// Close implements io.Closer.
func (d *device) Close() error {
	if d.closed.Swap(true) {
		return fs.ErrClosed
	}
	d.fake.mu.Lock()
	delete(d.volume.handles, d)
	d.fake.mu.Unlock()
	return d.file.Close()
}

// die is Close without the fake's lock: the host went down.
func (d *device) die() {
	if !d.closed.Swap(true) {
		_ = d.file.Close() // nothing is waiting for this host's answer any more
	}
}
