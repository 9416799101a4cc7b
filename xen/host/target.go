package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"

	"github.com/xenhost/xenhost/lvm"
)

// Receive makes room for a guest that another host offers: its definition is
// kept as UUID.incoming.json, and each volume is made, marked, kept from
// activation by boot scripts, and opened for writing. It trusts nothing of g.
//
// A volume of the same guest that was fenced here by an earlier move, or that
// an earlier attempt left, is used again if its size is equal. fresh tells, by
// Disk.Dev, which volumes read as zeros now; the others hold old data.
//
// Refused: a definition that Validate refuses, a name that another guest here
// has, a domain of that UUID or name that runs here, too little memory or
// space, what Fits refuses, and every volume of that name that is not this
// guest's (ErrForeign).
func (l *Hold) Receive(ctx context.Context, g Guest, epoch uint64) (fresh map[string]bool, err error) {
	if err := l.mayReceive(ctx, g); err != nil {
		return nil, &Error{Op: "receive", Name: g.Name, Err: err}
	}
	// Its definition and record are what keeps the room from here on.
	claim, err := l.h.admit(ctx, g, "receive", true, func() error { return l.h.guests.put(g, incoming) })
	if err != nil {
		return nil, &Error{Op: "receive", Name: g.Name, Err: err}
	}
	defer claim.Release()
	fresh = make(map[string]bool, len(g.Disks))
	for _, d := range g.Disks {
		if fresh[d.Dev], err = l.receiveDisk(ctx, d, epoch); err != nil {
			return nil, &Error{Op: "receive", Name: g.Name, Err: err}
		}
	}
	return fresh, nil
}

func (l *Hold) mayReceive(ctx context.Context, g Guest) error {
	if g.UUID != l.id {
		return fmt.Errorf("%w: definition of %s", ErrInvalid, g.UUID)
	}
	if err := g.Validate(); err != nil {
		return err
	}
	if g.Clone != nil {
		return fmt.Errorf("%w: a clone stays on the host of its guest", ErrInvalid)
	}
	r, err := l.Record()
	if err != nil {
		return err
	}
	if r.State != "" && r.MayRun() == nil {
		return fmt.Errorf("%w: this host owns the guest (epoch %d)", fs.ErrExist, r.Epoch)
	}
	if err := l.h.nameFree(g); err != nil {
		return err
	}
	if err := l.h.Fits(ctx, g); err != nil {
		return err
	}
	return l.h.domains.Check(ctx, g.Spec(g.Devices()))
}

func (l *Hold) receiveDisk(ctx context.Context, d Disk, epoch uint64) (fresh bool, err error) {
	v, err := l.h.volumes.Volume(ctx, d.Volume)
	if errors.Is(err, fs.ErrNotExist) {
		v, err := l.h.volumes.Create(ctx, lvm.Spec{
			ID: d.Volume, Size: d.Size, Pool: d.Pool, Skip: true,
			Tags: []string{guestTag(l.id), stateReceiving, tagEpoch + strconv.FormatUint(epoch, 10)},
		})
		if err == nil && v.Size != d.Size {
			err = fmt.Errorf("%w: volume %s has %d bytes here, not %d: the extent sizes differ", ErrInvalid, v.ID, v.Size, d.Size)
		}
		return true, err
	}
	if err != nil {
		return false, err
	}
	switch {
	case !belongs(v, l.id):
		return false, fmt.Errorf("volume %s: %w", v.ID, ErrForeign)
	case v.Size != d.Size:
		return false, fmt.Errorf("%w: volume %s has %d bytes here, not %d", ErrInvalid, v.ID, v.Size, d.Size)
	case slices.Contains(v.Tags, lvm.TagWiping):
		// An attempt ended in the middle of the wipe.
		err := l.h.volumes.Wipe(ctx, v.ID)
		if err == nil {
			err = l.h.volumes.Activate(ctx, v.ID)
		}
		return true, err
	}
	to := stateRenewing
	if state(v) == stateReceiving {
		to = stateReceiving // ours alone: Discard may remove it
	}
	if err := l.h.volumes.SetSkip(ctx, v.ID, true); err != nil {
		return false, err
	}
	if err := l.h.mark(ctx, v, to, epoch); err != nil {
		return false, err
	}
	return false, l.h.volumes.Activate(ctx, v.ID)
}

// Discard takes back what Receive made: its definition and the volumes that
// were made for it. A volume that was here before is fenced again; its content
// is of no value any more. It can be repeated, and there being nothing is no
// error. It refuses a guest that this host owns.
func (l *Hold) Discard(ctx context.Context) error {
	r, err := l.Record()
	if err == nil && r.State != "" && r.MayRun() == nil {
		err = fmt.Errorf("%w: this host owns the guest", ErrInvalid)
	}
	if err == nil {
		err = l.discard(ctx)
	}
	if err != nil {
		return &Error{Op: "discard", Name: l.name(), Err: err}
	}
	return nil
}

func (l *Hold) discard(ctx context.Context) error {
	g, err := l.h.guests.get(l.id, incoming)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = l.DropDomain(ctx)
	}
	if err == nil {
		err = l.h.removeNetwork(ctx, l.id)
	}
	if err != nil {
		return err
	}
	for _, d := range g.Disks {
		v, err := l.h.volumes.Volume(ctx, d.Volume)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !belongs(v, l.id) {
			continue
		}
		if err != nil {
			return err
		}
		switch state(v) {
		case stateReceiving, lvm.TagWiping:
			err = l.h.volumes.Remove(ctx, v.ID)
		case stateRenewing:
			if err = l.h.mark(ctx, v, stateFenced, 0); err == nil {
				err = l.h.volumes.Deactivate(ctx, v.ID)
			}
		}
		if err != nil {
			return err
		}
	}
	return l.h.guests.remove(l.id, incoming)
}

// Adopt takes a received guest over, after the Committed record was written:
// its definition becomes this host's, its volumes are put into use, its ports,
// forwards and rates are set. It can be repeated.
func (l *Hold) Adopt(ctx context.Context) error {
	if err := l.adopt(ctx); err != nil {
		return &Error{Op: "adopt", Name: l.name(), Err: err}
	}
	return nil
}

func (l *Hold) adopt(ctx context.Context) error {
	if err := l.h.guests.rename(l.id, incoming, own); err != nil {
		return err
	}
	if err := errors.Join(l.h.guests.remove(l.id, released), l.h.guests.remove(l.id, replica)); err != nil {
		return err
	}
	g, err := l.h.guests.get(l.id, own)
	if err != nil {
		return err
	}
	if err := l.h.unmark(ctx, g); err != nil {
		return err
	}
	if err := l.h.setNetwork(ctx, g); err != nil {
		return err
	}
	if err := l.h.shape(ctx, g); err != nil {
		return err
	}
	// One that came with its memory runs already, and Start has nothing to do.
	if err := l.h.limitDisks(ctx, g); err != nil {
		l.h.log.Warn("disk limits", "guest", g.Name, "err", err)
	}
	return nil
}
