package handover

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate/relay"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// Next implements Source.
func (l *Local) Next(ctx context.Context) (map[string]int64, error) {
	if err := l.must(owner.Prepared); err != nil {
		return nil, err
	}
	sizes := make(map[string]int64, len(l.snapshots))
	for dev, old := range l.snapshots {
		d, err := l.disk(dev)
		if err != nil {
			return nil, err
		}
		next, err := l.hold.NextSnapshot(ctx, d, old)
		if err != nil {
			return nil, err
		}
		l.snapshots[dev] = next
		changed, err := l.host.Volumes().Changed(ctx, old.ID)
		switch {
		case errors.Is(err, lvm.ErrSnapshotInvalid), errors.Is(err, errors.ErrUnsupported):
			delete(l.changed, dev)
			sizes[dev] = -1
		case err != nil:
			return nil, err
		default:
			l.changed[dev] = append([]lvm.Extent{}, changed...)
			sizes[dev] = total(changed)
		}
		if open := l.devices[old.ID]; open != nil {
			delete(l.devices, old.ID)
			if err := open.Close(); err != nil {
				return nil, err
			}
		}
		if err := l.host.Volumes().Remove(ctx, old.ID); err != nil {
			return nil, err
		}
	}
	return sizes, nil
}

func total(extents []lvm.Extent) (bytes int64) {
	for _, e := range extents {
		bytes += e.Length
	}
	return bytes
}

// Extents implements Source.
func (l *Local) Extents(_ context.Context, dev string) ([]lvm.Extent, error) {
	e, ok := l.changed[dev]
	if !ok {
		return nil, fmt.Errorf("%w: nothing was asked about disk %q", lvm.ErrInvalid, dev)
	}
	return e, nil
}

// Reread implements Keeper.
func (l *Local) Reread(ctx context.Context, dev string, extents []lvm.Extent) (sum [sha256.Size]byte, err error) {
	if err := l.must(owner.Prepared, owner.Receiving); err != nil {
		return sum, err
	}
	d, err := l.disk(dev)
	if err != nil {
		return sum, err
	}
	device, err := l.device(ctx, d.Volume)
	if err != nil {
		return sum, err
	}
	hash, buf := sha256.New(), make([]byte, 1<<20)
	for _, e := range extents {
		if e.Offset < 0 || e.Length < 0 || e.Offset > device.Size()-e.Length {
			return sum, fmt.Errorf("%w: %d bytes at %d of %d", lvm.ErrInvalid, e.Length, e.Offset, device.Size())
		}
		for at, end := e.Offset, e.Offset+e.Length; at < end; {
			if err := ctx.Err(); err != nil {
				return sum, err
			}
			n, err := device.ReadAt(buf[:min(int64(len(buf)), end-at)], at)
			if err != nil && !errors.Is(err, io.EOF) || n == 0 {
				return sum, fmt.Errorf("read again at %d: %w", at, err)
			}
			hash.Write(buf[:n])
			at += int64(n)
		}
	}
	hash.Sum(sum[:0])
	return sum, nil
}

// Emit implements Source. It may run beside the other verbs.
func (l *Local) Emit(ctx context.Context, wire io.ReadWriteCloser, suspended bool) (relay.Stats, error) {
	defer wire.Close()
	if err := l.must(owner.Prepared); err != nil {
		return relay.Stats{}, err
	}
	g, err := l.hold.Definition()
	if err == nil {
		err = g.MayMoveLive()
	}
	if err != nil {
		return relay.Stats{}, err
	}
	m, err := l.host.Migrator()
	if err != nil {
		return relay.Stats{}, err
	}
	r, err := l.hold.Record()
	if err != nil {
		return relay.Stats{}, err
	}
	return converse(ctx, wire, relay.Source, func() error { return l.must(owner.Fenced) },
		func(ctx context.Context, conn io.ReadWriter) error {
			return m.SendTo(ctx, r.UUID, conn, &xen.SendOptions{Suspended: suspended})
		})
}

// Absorb implements Target. It may run beside the other verbs.
func (l *Local) Absorb(ctx context.Context, wire io.ReadWriteCloser) (relay.Stats, error) {
	defer wire.Close()
	if err := l.must(owner.Receiving); err != nil {
		return relay.Stats{}, err
	}
	m, err := l.host.Migrator()
	if err != nil {
		return relay.Stats{}, err
	}
	spec, err := l.hold.Expect(ctx)
	if err != nil {
		return relay.Stats{}, err
	}
	return converse(ctx, wire, relay.Target, func() error { return l.must(owner.Committed) },
		func(ctx context.Context, conn io.ReadWriter) error {
			_, err := m.ReceiveFrom(ctx, spec, conn)
			return err
		})
}

type relayPart func(ctx context.Context, xl, wire io.ReadWriter, opts *relay.Options) (relay.Stats, error)

// converse joins one half of a migration with a part of the relay.
func converse(ctx context.Context, wire io.ReadWriter, part relayPart, check func() error, half func(context.Context, io.ReadWriter) error) (relay.Stats, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ours, xls := net.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := half(ctx, xls)
		xls.Close()
		ended <- err
	}()
	stats, err := part(ctx, ours, wire, &relay.Options{Check: check})
	if err != nil {
		cancel() // before the pipe ends: a copy that is complete shall stay
	}
	ours.Close()
	if halfErr := <-ended; halfErr != nil && !errors.Is(halfErr, io.ErrClosedPipe) {
		err = errors.Join(halfErr, err)
	}
	return stats, err
}

// Rise implements Keeper.
func (l *Local) Rise(ctx context.Context) (lost bool, err error) {
	if err := l.must(owner.Prepared, owner.Fenced, owner.Committed); err != nil {
		return false, err
	}
	if err := l.closeDevices(); err != nil {
		return false, err
	}
	return l.hold.Rise(ctx)
}

// Bury implements Source.
func (l *Local) Bury(ctx context.Context) error {
	if err := l.must(owner.Fenced); err != nil {
		return err
	}
	return l.hold.DropDomain(ctx)
}
