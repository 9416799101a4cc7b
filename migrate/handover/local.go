package handover

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// Local is this host's Side. It keeps the devices that it opened until a verb
// needs them closed, so that the short time in which the guest is down is not
// spent on opening them. Its verbs are called one after the other.
type Local struct {
	host *host.Host
	hold *host.Hold

	snapshots map[string]lvm.Volume // by Disk.Dev, since Snapshot
	changed   map[string][]lvm.Extent
	receiving map[string]lvm.ID           // by Disk.Dev, since Receive
	known     map[string]*blockcopy.Index // what the target has, by Disk.Dev, from Compare to Send
	devices   map[lvm.ID]lvm.Device
}

var _ Side = (*Local)(nil)

// Open holds a guest on this host, or returns host.ErrBusy at once.
func Open(h *host.Host, id uuid.UUID) (*Local, error) {
	hold, err := h.Hold(id)
	if err != nil {
		return nil, err
	}
	return &Local{host: h, hold: hold, devices: make(map[lvm.ID]lvm.Device)}, nil
}

// Close gives the hold back. What the verbs did stays.
func (l *Local) Close() error {
	err := errors.Join(l.closeDevices(), l.forget())
	l.hold.Release()
	return err
}

// Host implements Keeper.
func (l *Local) Host() string { return l.host.Name() }

// Observe implements Keeper.
func (l *Local) Observe(ctx context.Context) (Seen, error) {
	s := Seen{Host: l.host.Name()}
	var err error
	if s.Record, err = l.hold.Record(); err != nil {
		return s, err
	}
	if s.Record.Live { // what its toolstack has not finished is no state yet
		if err := l.hold.Settle(ctx); err != nil {
			return s, err
		}
	}
	if s.Domain, err = l.hold.Domain(ctx); err != nil {
		return s, err
	}
	g, err := l.hold.Definition()
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	s.Guest = &g
	for _, d := range g.Disks {
		v, err := l.host.Volumes().Volume(ctx, d.Volume)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return s, err
		}
		s.Volumes = append(s.Volumes, v)
	}
	return s, nil
}

// Claim implements Keeper.
func (l *Local) Claim(_ context.Context, token uint64) error { return l.hold.Claim(token) }

// Put implements Keeper.
func (l *Local) Put(_ context.Context, r owner.Record) error { return l.hold.SetRecord(r) }

// Start implements Keeper.
func (l *Local) Start(ctx context.Context) error {
	if err := l.closeDevices(); err != nil {
		return err
	}
	_, err := l.hold.Start(ctx)
	return err
}

// Stop implements Keeper.
func (l *Local) Stop(ctx context.Context) (xen.Ending, error) { return l.hold.Stop(ctx) }

// Sum implements Keeper.
func (l *Local) Sum(ctx context.Context, dev string) (sum [sha256.Size]byte, err error) {
	d, err := l.disk(dev)
	if err != nil {
		return sum, err
	}
	device, err := l.device(ctx, d.Volume)
	if err != nil {
		return sum, err
	}
	return blockcopy.Sum(ctx, device, device.Size())
}

// Sample implements Keeper.
func (l *Local) Sample(_ context.Context, dev string) (sum [sha256.Size]byte, err error) {
	if err := l.must(owner.Prepared, owner.Receiving); err != nil {
		return sum, err
	}
	return l.hold.Sample(dev)
}

// disk finds a disk of the guest by its name inside the guest.
func (l *Local) disk(dev string) (host.Disk, error) {
	g, err := l.hold.Definition()
	if err != nil {
		return host.Disk{}, err
	}
	i := slices.IndexFunc(g.Disks, func(d host.Disk) bool { return d.Dev == dev })
	if i < 0 {
		return host.Disk{}, fmt.Errorf("disk %q of %s: %w", dev, g.Name, fs.ErrNotExist)
	}
	return g.Disks[i], nil
}

// device opens a volume, once.
func (l *Local) device(ctx context.Context, id lvm.ID) (lvm.Device, error) {
	if d, ok := l.devices[id]; ok {
		return d, nil
	}
	d, err := l.host.Volumes().Open(ctx, id)
	if err == nil {
		l.devices[id] = d
	}
	return d, err
}

// closeDevices is called before whatever needs the volumes to be free.
func (l *Local) closeDevices() error {
	var errs []error
	for id, d := range l.devices {
		errs = append(errs, d.Close())
		delete(l.devices, id)
	}
	return errors.Join(errs...)
}

// must refuses a verb unless the record is in one of the states, so that no
// confused or hostile peer reads or writes outside a move.
func (l *Local) must(states ...owner.State) error {
	r, err := l.hold.Record()
	if err == nil && !slices.Contains(states, r.State) {
		err = fmt.Errorf("%w: its record here is %q, this needs %v", owner.ErrNotOwner, r.State, states)
	}
	return err
}
