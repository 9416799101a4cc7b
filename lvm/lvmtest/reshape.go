package lvmtest

import (
	"context"
	"fmt"
	"os"

	"github.com/xenhost/xenhost/lvm"
)

// Grow implements lvm.Reshaper.
func (f *Fake) Grow(ctx context.Context, id lvm.ID, size int64) (lvm.Volume, error) {
	return f.reshape(ctx, "grow", id, func(g *group, v *volume) (*volume, error) {
		want, err := lvm.FitsGrow(g.view(), f.list(g), v.Name, size)
		if err != nil {
			return nil, err
		}
		if v.Kind != lvm.Pool {
			if err := os.Truncate(f.content(v), want); err != nil {
				return nil, err
			}
		}
		if v.Unwiped() {
			if err := dirty(f.content(v), v.Size, want, g.extent); err != nil {
				return nil, err
			}
		}
		if v.Kind != lvm.Thin {
			v.room += want - v.Size
		}
		v.Size = want
		return v, nil
	})
}

// GrowRoom implements lvm.Reshaper.
func (f *Fake) GrowRoom(ctx context.Context, id lvm.ID, size int64) (lvm.Fill, error) {
	var fill lvm.Fill
	_, err := f.reshape(ctx, "grow room", id, func(g *group, v *volume) (*volume, error) {
		var err error
		if v.Kind == lvm.Snapshot || v.Kind == lvm.Pool {
			if fill, err = f.fill(id); err != nil {
				return nil, err
			}
		}
		want, err := lvm.FitsRoom(g.view(), f.show(v), fill, size)
		if err != nil {
			return nil, err
		}
		if v.Kind == lvm.Snapshot {
			v.room = want
		} else {
			v.room += want - fill.MetaSize
			v.metadata = want
		}
		fill, err = f.fill(id)
		return v, err
	})
	if err != nil {
		return lvm.Fill{}, err
	}
	return fill, nil
}

// Rename implements lvm.Reshaper.
func (f *Fake) Rename(ctx context.Context, id lvm.ID, name string) (lvm.Volume, error) {
	return f.reshape(ctx, "rename", id, func(g *group, v *volume) (*volume, error) {
		if err := lvm.Renamable(f.list(g), v.Name, name); err != nil {
			return nil, err
		}
		from := f.content(v)
		delete(g.volumes, v.Name)
		v.Name = name
		g.volumes[name] = v
		for _, other := range g.volumes {
			if other.Origin == id.Name {
				other.Origin = name
			}
			if other.Pool == id.Name {
				other.Pool = name
			}
		}
		if v.Kind == lvm.Pool {
			return v, nil
		}
		return v, os.Rename(from, f.content(v))
	})
}

// Merge implements lvm.Reshaper.
func (f *Fake) Merge(ctx context.Context, snapshot lvm.ID) (lvm.Volume, error) {
	return f.reshape(ctx, "merge", snapshot, func(g *group, s *volume) (*volume, error) {
		shown, err := lvm.Mergeable(f.list(g), s.Name)
		if err != nil {
			return nil, err
		}
		origin := g.volumes[shown.Name]
		switch {
		case s.open():
			return nil, lvm.ErrBusy
		case origin.open():
			return nil, fmt.Errorf("origin %s: %w", origin.Name, lvm.ErrBusy)
		}
		if s.Kind == lvm.Snapshot {
			if _, err := f.changed(g, s); err != nil {
				return nil, err
			}
		}
		if err := os.Rename(f.content(s), f.content(origin)); err != nil {
			return nil, err
		}
		delete(g.volumes, s.Name)
		for _, other := range g.volumes {
			switch {
			case other.Kind == lvm.Thin && other.Origin == origin.Name: // of what is no more
				other.Origin = ""
			case other.Origin == s.Name: // of what took the origin's name
				other.Origin = origin.Name
			}
		}
		return origin, nil
	})
}

// reshape is change for verbs that return the volume.
func (f *Fake) reshape(ctx context.Context, op string, id lvm.ID, do func(*group, *volume) (*volume, error)) (lvm.Volume, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	after, err := f.begin(ctx, op)
	if err != nil {
		return lvm.Volume{}, failed(op, id.String(), err)
	}
	g, v, err := f.find(id)
	if err == nil {
		v, err = do(g, v)
	}
	if err == nil {
		err = after
	}
	if err != nil {
		return lvm.Volume{}, failed(op, id.String(), err)
	}
	return f.show(v), nil
}
