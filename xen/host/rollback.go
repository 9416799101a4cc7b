package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/lvm"
)

// mayPromote is the look before PromoteClone changes anything.
func (h *Host) mayPromote(ctx context.Context, g, c Guest) error {
	if len(g.Disks) != len(c.Disks) {
		return fmt.Errorf("%w: the guest has %d disks, the clone %d", ErrInvalid, len(g.Disks), len(c.Disks))
	}
	if err := h.activateMarked(ctx, g); err != nil {
		return err
	}
	free := make(map[string]lvm.Group)
	groups, err := h.volumes.Groups(ctx)
	if err != nil {
		return err
	}
	for _, one := range groups {
		free[one.Name] = one
	}
	have := make(map[string][]lvm.Volume)
	for i, d := range g.Disks {
		name := d.Volume.Group
		if have[name] == nil {
			if have[name], err = h.volumes.Volumes(ctx, name); err != nil {
				return err
			}
		}
		from := c.Disks[i].Volume.Name
		origin, err := lvm.Mergeable(have[name], from)
		if err != nil {
			return fmt.Errorf("volume %s: %w", c.Disks[i].Volume, err)
		}
		if origin.ID != d.Volume {
			return fmt.Errorf("%w: volume %s is not a copy of %s any more", ErrInvalid, c.Disks[i].Volume, d.Volume)
		}
		if _, err := h.volumes.Fill(ctx, c.Disks[i].Volume); err != nil && !errors.Is(err, errors.ErrUnsupported) { // a thin one has no room of its own
			return err
		}
		at := slices.IndexFunc(have[name], func(v lvm.Volume) bool { return v.ID == d.rollback() })
		if at >= 0 {
			if v := have[name][at]; c.Clone.Promoting && belongs(v, g.UUID) && state(v) == stateRollback {
				continue
			}
			return fmt.Errorf("volume %s: %w", d.rollback(), fs.ErrExist)
		}
		room, err := lvm.FitsSnapshot(free[name], have[name], d.Volume.Name, d.RollbackName(), nil)
		if err != nil {
			return fmt.Errorf("rollback volume %s: %w", d.rollback(), err)
		}
		if origin.Kind == lvm.Thick {
			group := free[name]
			group.Free -= room
			free[name] = group
		}
		have[name] = append(have[name], lvm.Volume{ID: d.rollback(), Size: origin.Size, Kind: origin.Kind, Pool: origin.Pool})
	}
	return nil
}

// activateMarked makes the device nodes of a guest's volumes, also of those that
// a promotion has marked.
func (h *Host) activateMarked(ctx context.Context, g Guest) error {
	volumes, err := h.volumesOf(ctx, g)
	if err != nil {
		return err
	}
	for _, v := range volumes {
		if s := state(v); s != "" && s != statePromoting {
			return fmt.Errorf("%w: volume %s carries %s", ErrNotOwner, v.ID, s)
		}
		if !v.Active {
			if err := h.volumes.Activate(ctx, v.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// ForgetRollback removes the volumes that keep what a guest was before a
// promotion. There being none is no error. While they are there a thick disk
// writes each block twice the first time, and can not grow.
func (h *Host) ForgetRollback(ctx context.Context, id uuid.UUID) error {
	l, g, err := h.settledGuest(id)
	if err != nil {
		return err
	}
	defer l.Release()
	if err = l.h.notPromoting(ctx, g); err == nil {
		err = l.dropRollback(ctx, g)
	}
	if err != nil {
		return &Error{Op: "forget rollback of", Name: g.Name, Err: err}
	}
	return nil
}

// Rollback gives a guest back what its disks were before a promotion: it is shut
// down, the rollback volumes take the place of its own, and it is started, unless
// it is Off. What it wrote since is gone. fs.ErrNotExist: there are none. After
// a crash Rollback again ends it; until then the guest does not start.
func (h *Host) Rollback(ctx context.Context, id uuid.UUID) error {
	l, g, err := h.settledGuest(id)
	if err != nil {
		return err
	}
	defer l.Release()
	if err := l.rollback(ctx, g); err != nil {
		return &Error{Op: "roll back", Name: g.Name, Err: err}
	}
	return nil
}

func (l *Hold) rollback(ctx context.Context, g Guest) error {
	all, err := l.h.Guests(ctx)
	if err != nil {
		return err
	}
	for _, s := range all {
		if c := s.Guest.Clone; c != nil && c.Guest == g.UUID && c.Promoting {
			return fmt.Errorf("%w: clone %s is being promoted", ErrBusy, s.Guest.Name)
		}
	}
	backs, err := l.h.backs(ctx, g)
	if err != nil {
		return err
	}
	if _, err := l.Stop(ctx); err != nil {
		return err
	}
	for _, b := range backs { // from here on nothing starts the guest
		if b.now.Name == "" {
			continue
		}
		if err := l.h.mark(ctx, b.now, statePromoting, 0); err != nil {
			return err
		}
		if !b.now.Active {
			if err := l.h.volumes.Activate(ctx, b.now.ID); err != nil {
				return err
			}
		}
	}
	for _, b := range backs {
		if err := l.h.goBack(ctx, b); err != nil {
			return fmt.Errorf("roll back again, until then the guest does not start: %w", err)
		}
	}
	if err := l.h.unmark(ctx, g); err != nil || !g.shouldRun() {
		return err
	}
	_, err = l.start(ctx)
	return err
}

// A back is a disk and what it was; one of the two may be missing in the middle
// of a rollback, which is a volume without a name.
type back struct{ now, then lvm.Volume }

// backs reads them: fs.ErrNotExist if there is nothing to go back to.
func (h *Host) backs(ctx context.Context, g Guest) ([]back, error) {
	all := make([]back, len(g.Disks))
	begun := false
	for i, d := range g.Disks {
		var err error
		if all[i].now, err = h.marked(ctx, d.Volume, g.UUID, "", statePromoting, stateRollback); err != nil {
			return nil, err
		}
		if all[i].then, err = h.marked(ctx, d.rollback(), g.UUID, stateRollback); err != nil {
			return nil, err
		}
		if all[i].now.Name == "" && all[i].then.Name == "" {
			return nil, fmt.Errorf("volume %s: %w", d.Volume, fs.ErrNotExist)
		}
		begun = begun || all[i].now.Name == "" || state(all[i].now) != ""
	}
	for i, d := range g.Disks {
		if all[i].then.Name == "" && !begun {
			return nil, fmt.Errorf("volume %s: %w", d.rollback(), fs.ErrNotExist)
		}
	}
	return all, nil
}

// marked returns a volume of a guest in one of these states, or none.
func (h *Host) marked(ctx context.Context, id lvm.ID, guest uuid.UUID, states ...string) (lvm.Volume, error) {
	v, err := h.volumes.Volume(ctx, id)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return lvm.Volume{}, nil
	case err != nil:
		return lvm.Volume{}, err
	case !belongs(v, guest):
		return lvm.Volume{}, fmt.Errorf("volume %s: %w", v.ID, ErrForeign)
	case !slices.Contains(states, state(v)):
		return lvm.Volume{}, fmt.Errorf("%w: volume %s carries %s", ErrNotOwner, v.ID, state(v))
	}
	return v, nil
}

// goBack gives a disk what it was. A thin rollback volume is one of its own
// since the promotion, and takes the disk's place; until it has its name there
// is none of that name, and the guest can not start.
func (h *Host) goBack(ctx context.Context, b back) error {
	switch {
	case b.then.Name == "":
		return nil
	case b.then.Origin != "":
		_, err := h.volumes.Merge(ctx, b.then.ID)
		return err
	case b.now.Name != "":
		if err := h.volumes.Remove(ctx, b.now.ID); err != nil {
			return err
		}
	}
	_, err := h.volumes.Rename(ctx, b.then.ID, strings.TrimSuffix(b.then.Name, rollbackSuffix))
	return err
}

// settledGuest holds a guest that this host may run.
func (h *Host) settledGuest(id uuid.UUID) (*Hold, Guest, error) {
	l, err := h.Hold(id)
	if err != nil {
		return nil, Guest{}, err
	}
	r, err := l.Record()
	if err == nil && r.State == "" {
		err = fs.ErrNotExist
	}
	if err == nil {
		err = r.MayRun()
	}
	var g Guest
	if err == nil {
		g, err = h.guests.get(id, own)
	}
	if err != nil {
		l.Release()
		return nil, Guest{}, &Error{Op: "find", Name: id.String(), Err: err}
	}
	return l, g, nil
}

// notPromoting refuses a guest whose volumes are in the middle of a promotion.
func (h *Host) notPromoting(ctx context.Context, g Guest) error {
	volumes, err := h.volumesOf(ctx, g)
	if err != nil {
		return err
	}
	for _, v := range volumes {
		if state(v) == statePromoting {
			return fmt.Errorf("%w: volume %s carries %s", ErrBusy, v.ID, statePromoting)
		}
	}
	return nil
}

func (l *Hold) dropRollback(ctx context.Context, g Guest) error {
	for _, d := range g.Disks {
		v, err := l.h.volumes.Volume(ctx, d.rollback())
		if errors.Is(err, fs.ErrNotExist) || err == nil && (!belongs(v, g.UUID) || state(v) != stateRollback) {
			continue
		}
		if err == nil {
			err = l.h.volumes.Remove(ctx, v.ID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
