package handover

import (
	"context"
	"fmt"
	"io"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// Receive implements Target.
func (l *Local) Receive(ctx context.Context, g host.Guest, epoch uint64) (map[string]bool, error) {
	if err := l.must(owner.Receiving); err != nil {
		return nil, err
	}
	if err := l.closeDevices(); err != nil {
		return nil, err
	}
	fresh, err := l.hold.Receive(ctx, g, epoch)
	if err != nil {
		return nil, err
	}
	l.receiving = make(map[string]lvm.ID, len(g.Disks))
	for _, d := range g.Disks {
		if _, err := l.device(ctx, d.Volume); err != nil {
			return nil, err
		}
		l.receiving[d.Dev] = d.Volume
	}
	return fresh, nil
}

// Accept implements Target. It writes to no volume that Receive did not make
// under this hold, and to none once the copy is Ready.
func (l *Local) Accept(ctx context.Context, dev string, t blockcopy.Transfer, r io.Reader) (blockcopy.Stats, error) {
	if err := l.must(owner.Receiving); err != nil {
		return blockcopy.Stats{}, err
	}
	device, err := l.received(ctx, dev)
	if err != nil {
		return blockcopy.Stats{}, err
	}
	return blockcopy.Receive(ctx, r, device, t, nil)
}

// received opens the volume of a disk that is being received.
func (l *Local) received(ctx context.Context, dev string) (lvm.Device, error) {
	id, ok := l.receiving[dev]
	if !ok {
		return nil, fmt.Errorf("%w: disk %q is not being received under this hold", lvm.ErrInvalid, dev)
	}
	return l.device(ctx, id)
}

// Discard implements Target.
func (l *Local) Discard(ctx context.Context) error {
	l.receiving = nil
	if err := l.must("", owner.Receiving, owner.Ready, owner.Aborted); err != nil {
		return err
	}
	if err := l.closeDevices(); err != nil {
		return err
	}
	return l.hold.Discard(ctx)
}

// Adopt implements Target.
func (l *Local) Adopt(ctx context.Context) error {
	l.receiving = nil
	if err := l.must(owner.Committed); err != nil {
		return err
	}
	if err := l.closeDevices(); err != nil {
		return err
	}
	return l.hold.Adopt(ctx)
}
