package lvm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

// Guarded is what Guard asks of a Manager.
type Guarded interface {
	Volume(ctx context.Context, id ID) (Volume, error)
	Fill(ctx context.Context, id ID) (Fill, error)
	Remove(ctx context.Context, id ID) error
}

// GuardOptions sets how Guard looks; nil is the defaults.
type GuardOptions struct {
	// Every is the time between two looks; 0 is a second.
	Every time.Duration
	// Limit is the share of the room, data or metadata in use at which a
	// snapshot is given up; 0 is 0.9.
	Limit float64
	// GivesUp is told before a snapshot is removed: who reads it must close
	// it, since an open one can not be removed. nil tells nobody.
	GivesUp func(snapshot Volume, why error)
}

// Guard watches snapshots that the caller made and marked with a tag, and
// removes one before it does harm: a thick one whose room runs full, before
// somebody takes it for good; a thin one whose pool runs full, before the pool
// stops the writes of every guest in it. Of several in one pool it gives up the
// first in the list, looks again, and goes on with the next.
//
// It returns when ctx ends or no snapshot is left, removed by whomever: nil, or
// the *Error of each that it gave up, which is ErrAborted and, of one that had
// overflowed already, ErrSnapshotInvalid. One that is open is tried again at
// each look; if it is when ctx ends it stays, and its error is ErrBusy too.
// What Guard can not look at it returns, at once: nobody watches then.
// A volume without the tag, or that is no snapshot, is refused with ErrInvalid;
// nothing else is ever removed.
func Guard(ctx context.Context, m Guarded, tag string, snapshots []ID, opts *GuardOptions) error {
	g := guard{m: m, tag: tag}
	if opts != nil {
		g.GuardOptions = *opts
	}
	if g.Every <= 0 {
		g.Every = time.Second
	}
	if g.Limit <= 0 {
		g.Limit = 0.9
	}
	for _, id := range snapshots {
		v, err := g.own(ctx, id)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return failed("guard", id.String(), err)
		}
		g.watched = append(g.watched, &watched{Volume: v})
	}
	return g.run(ctx)
}

type guard struct {
	GuardOptions
	m       Guarded
	tag     string
	watched []*watched
	done    []error // of those that were removed
}

type watched struct {
	Volume
	why error // it is given up, and still open
}

// room is what may run full because of it.
func (w *watched) room() ID {
	if w.Kind == Thin {
		return ID{Group: w.Group, Name: w.Pool}
	}
	return w.ID
}

// own returns a snapshot that is the caller's.
func (g *guard) own(ctx context.Context, id ID) (Volume, error) {
	v, err := g.m.Volume(ctx, id)
	switch {
	case err != nil:
		return Volume{}, err
	case v.Origin == "" || v.Kind != Snapshot && v.Kind != Thin:
		return Volume{}, fmt.Errorf("%w: it is no snapshot", ErrInvalid)
	case !slices.Contains(v.Tags, g.tag):
		return Volume{}, fmt.Errorf("%w: it has no tag %s", ErrInvalid, g.tag)
	}
	return v, nil
}

func (g *guard) run(ctx context.Context) error {
	for len(g.watched) > 0 && ctx.Err() == nil {
		if err := g.look(ctx); err != nil && ctx.Err() == nil {
			return errors.Join(append(g.done, err)...)
		}
		if len(g.watched) > 0 {
			_ = pause(ctx, g.Every) // its end is seen above
		}
	}
	return g.finish(context.WithoutCancel(ctx))
}

// finish removes what was given up and was open until now.
func (g *guard) finish(ctx context.Context) error {
	for _, w := range slices.Clone(g.watched) {
		if w.why == nil {
			continue
		}
		if err := g.giveUp(ctx, w); err != nil {
			g.done = append(g.done, failed("guard", w.ID.String(), err))
		}
		if slices.Contains(g.watched, w) {
			g.done = append(g.done, failed("guard", w.ID.String(), fmt.Errorf("%w: it is there still: %w", w.why, ErrBusy)))
		}
	}
	return errors.Join(g.done...)
}

// look gives up at most one snapshot a room more than the last look did.
func (g *guard) look(ctx context.Context) error {
	seen := make(map[ID]bool)
	for _, w := range slices.Clone(g.watched) {
		if seen[w.room()] {
			continue
		}
		if w.why == nil {
			seen[w.room()] = true
			why, err := g.tooFull(ctx, w)
			if err != nil {
				return failed("guard", w.ID.String(), err)
			}
			if why == nil {
				continue
			}
			w.why = why
			if g.GivesUp != nil {
				g.GivesUp(w.Volume, why)
			}
		}
		if err := g.giveUp(ctx, w); err != nil {
			return failed("guard", w.ID.String(), err)
		}
	}
	return nil
}

// tooFull says why a snapshot is to be given up; nil is that it is not.
func (g *guard) tooFull(ctx context.Context, w *watched) (why, err error) {
	fill, err := g.m.Fill(ctx, w.ID)
	if w.Kind == Thin && !errors.Is(err, fs.ErrNotExist) { // it is there, and has no room of its own
		fill, err = g.m.Fill(ctx, w.room())
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		g.forget(w)
		return nil, nil
	case errors.Is(err, ErrInactive): // nor does anybody write
		return nil, nil
	case errors.Is(err, ErrSnapshotInvalid):
		return fmt.Errorf("%w: %w", ErrAborted, err), nil
	case err != nil:
		return nil, err
	case fill.Share() < g.Limit:
		return nil, nil
	case w.Kind == Snapshot && fill.Size >= SnapshotRoom(w.Size): // it has a place for every chunk
		return nil, nil
	case w.Kind == Thin:
		return fmt.Errorf("%w: pool %s uses %d of %d bytes of data, %d of %d of metadata", ErrAborted,
			w.Pool, fill.Used, fill.Size, fill.MetaUsed, fill.MetaSize), nil
	}
	return fmt.Errorf("%w: it uses %d of %d bytes", ErrAborted, fill.Used, fill.Size), nil
}

// giveUp removes a snapshot, unless it is open or meanwhile something else.
func (g *guard) giveUp(ctx context.Context, w *watched) error {
	now, err := g.own(ctx, w.ID)
	if err == nil && now.Origin != w.Origin {
		err = fs.ErrNotExist // another one took its name
	}
	if err == nil {
		err = g.m.Remove(ctx, w.ID)
	}
	switch {
	case errors.Is(err, ErrBusy):
		return nil
	case errors.Is(err, fs.ErrNotExist):
		g.forget(w)
		return nil
	case err != nil:
		return err
	}
	g.forget(w)
	g.done = append(g.done, failed("guard", w.ID.String(), w.why))
	return nil
}

func (g *guard) forget(w *watched) {
	g.watched = slices.DeleteFunc(g.watched, func(other *watched) bool { return other == w })
}
