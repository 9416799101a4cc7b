package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/lvm"
)

// Promotion is what PromoteClone did.
type Promotion struct {
	Guest    Guest    `json:"guest"`    // as it was, with the clone's content
	Rollback []lvm.ID `json:"rollback"` // what each disk was before, in their order
	Started  bool     `json:"started"`
}

const rollbackSuffix = "-rollback"

// RollbackName is the name of the volume that keeps what this one was before a
// promotion.
func (d Disk) RollbackName() string { return d.Volume.Name + rollbackSuffix }

func (d Disk) rollback() lvm.ID { return lvm.ID{Group: d.Volume.Group, Name: d.RollbackName()} }

// PromoteClone gives a guest the disks of its clone, and ends the clone. Both are
// shut down, a snapshot keeps what the guest's disks are (RollbackName), the
// clone's are merged into them, and the guest is started, unless it is Off. It
// keeps its UUID, addresses and all else; what it wrote since the clone was made
// is in the rollback volumes alone.
//
//	lvcreate -s -n web1-rollback guests/web1; lvconvert --merge guests/web1-trial-xvda
//
// It is refused before anything changes when there is no room for the rollback
// volumes (lvm.ErrNoSpace), when there are some of an earlier promotion
// (fs.ErrExist; see ForgetRollback), when the guest's disks have grown since,
// or when a clone's volume has run full (lvm.ErrSnapshotInvalid). A failure
// before the first merge leaves both as they were, the clone off. After that, and after a
// crash anywhere, PromoteClone again ends it; until then the guest does not start.
func (h *Host) PromoteClone(ctx context.Context, clone uuid.UUID) (Promotion, error) {
	l, err := h.Hold(clone)
	if err != nil {
		return Promotion{}, err
	}
	defer l.Release()
	name := l.name()
	p, err := l.promoteClone(ctx)
	if err != nil {
		err = &Error{Op: "promote", Name: name, Err: err}
	}
	return p, err
}

func (l *Hold) promoteClone(ctx context.Context) (p Promotion, err error) {
	c, err := l.h.guests.get(l.id, own)
	if err == nil && c.Clone == nil {
		err = fmt.Errorf("%w: it is no clone", ErrInvalid)
	}
	if err != nil {
		return p, err
	}
	origin, err := l.h.Hold(c.Clone.Guest)
	if err != nil {
		return p, err
	}
	defer origin.Release()
	r, err := origin.Record()
	if err == nil {
		err = r.MayRun()
	}
	if err != nil {
		return p, err
	}
	if p.Guest, err = l.h.guests.get(origin.id, own); err != nil {
		return p, err
	}
	for _, d := range p.Guest.Disks {
		p.Rollback = append(p.Rollback, d.rollback())
	}
	if err := l.become(ctx, origin, p.Guest, &c); err != nil {
		return p, err
	}
	if err := l.demolish(ctx, c); err != nil {
		return p, err
	}
	l.h.log.Info("promoted", "guest", p.Guest.Name, "uuid", p.Guest.UUID, "clone", c.Name)
	if !p.Guest.shouldRun() {
		return p, nil
	}
	_, err = origin.start(ctx)
	p.Started = err == nil
	return p, err
}

// become gives the guest's volumes the clone's content.
func (l *Hold) become(ctx context.Context, origin *Hold, g Guest, c *Guest) error {
	left, err := l.h.left(ctx, *c)
	if err != nil {
		return err
	}
	if len(left) == len(c.Disks) { // nothing is merged yet
		if err := l.h.mayPromote(ctx, g, *c); err != nil {
			if c.Clone.Promoting { // it was possible when it was begun
				return errors.Join(err, l.calledOff(ctx, origin, g, c))
			}
			return err
		}
		c.Clone.Promoting, c.Off = true, true
		if err := l.h.guests.put(*c, own); err != nil {
			return err
		}
		if err := l.set(ctx, origin, g); err != nil {
			return errors.Join(err, l.calledOff(ctx, origin, g, c))
		}
	}
	for i, d := range c.Disks {
		if !left[d.Volume] {
			continue
		}
		if _, err := l.h.volumes.Merge(ctx, d.Volume); err != nil {
			if i == 0 && len(left) == len(c.Disks) {
				if now, again := l.h.left(context.WithoutCancel(ctx), *c); again == nil && len(now) == len(left) {
					return errors.Join(err, l.calledOff(ctx, origin, g, c))
				}
			}
			return fmt.Errorf("promote it again, until then the guest does not start: %w", err)
		}
	}
	return l.h.unmark(ctx, g)
}

// set does all that comes before the first merge.
func (l *Hold) set(ctx context.Context, origin *Hold, g Guest) error {
	if _, err := l.Stop(ctx); err != nil {
		return err
	}
	if _, err := origin.Stop(ctx); err != nil {
		return err
	}
	if err := origin.DropSnapshots(ctx); err != nil {
		return err
	}
	volumes, err := l.h.volumesOf(ctx, g)
	if err != nil {
		return err
	}
	for _, v := range volumes { // from here on nothing starts the guest
		if err := l.h.mark(ctx, v, statePromoting, 0); err != nil {
			return err
		}
	}
	for _, d := range g.Disks {
		if _, err := l.h.volumes.Volume(ctx, d.rollback()); !errors.Is(err, fs.ErrNotExist) {
			if err != nil {
				return err
			}
			continue // an earlier attempt made it: mayPromote saw whose it is
		}
		_, err := l.h.volumes.Snapshot(ctx, d.Volume, d.RollbackName(), &lvm.SnapshotOptions{Tags: []string{guestTag(g.UUID), stateRollback}})
		if err != nil {
			return err
		}
	}
	return nil
}

// calledOff takes back what set did; the guest runs again.
func (l *Hold) calledOff(ctx context.Context, origin *Hold, g Guest, c *Guest) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	if err := origin.dropRollback(ctx, g); err != nil {
		return err
	}
	if err := l.h.unmark(ctx, g); err != nil {
		return err
	}
	c.Clone.Promoting = false
	if err := l.h.guests.put(*c, own); err != nil || !g.shouldRun() {
		return err
	}
	_, err := origin.start(ctx)
	return err
}

// shouldRun: nobody has switched it off.
func (g Guest) shouldRun() bool { return !g.Off && g.Suspended == nil }

// left are the clone's volumes that are not merged yet.
func (h *Host) left(ctx context.Context, c Guest) (map[lvm.ID]bool, error) {
	left := make(map[lvm.ID]bool)
	for _, d := range c.Disks {
		v, err := h.volumes.Volume(ctx, d.Volume)
		switch {
		case errors.Is(err, fs.ErrNotExist) && c.Clone.Promoting:
		case err != nil:
			return nil, err
		case !belongs(v, c.UUID):
			return nil, fmt.Errorf("volume %s: %w", v.ID, ErrForeign)
		default:
			left[d.Volume] = true
		}
	}
	return left, nil
}
