package confirm

import (
	"context"
	"errors"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/guard"
)

// snapshot is a State with what its bridges carry besides: the routes of dom0
// that lead through them.
type snapshot struct {
	Network *network.State `json:"network,omitempty"`
	Guard   *guard.State   `json:"guard,omitempty"`
	Routes  []route        `json:"routes,omitempty"`
}

func (t Target) read(ctx context.Context) (s snapshot, err error) {
	if t.Network != nil {
		have, err := t.Network.Read(ctx)
		if err != nil {
			return s, err
		}
		s.Network = &have
		if s.Routes, err = t.routes(have.Bridges); err != nil {
			return s, err
		}
	}
	if t.Guard != nil {
		have, err := t.Guard.Read(ctx)
		if err != nil {
			return s, err
		}
		s.Guard = &have
	}
	return s, nil
}

// apply makes the guard first: nothing comes up unguarded.
func (t Target) apply(ctx context.Context, want State) error {
	if t.Guard != nil && want.Guard != nil {
		if _, err := t.Guard.Apply(ctx, *want.Guard); err != nil {
			return err
		}
	}
	if t.Network != nil && want.Network != nil {
		if _, err := t.Network.Apply(ctx, *want.Network); err != nil {
			return err
		}
	}
	return nil
}

// restore makes all parts as they were, each whatever becomes of the others.
// The guard has a second try, for what it refused before the network was back.
func (t Target) restore(ctx context.Context, s snapshot) error {
	guarded := t.apply(ctx, State{Guard: s.Guard})
	others := errors.Join(t.apply(ctx, State{Network: s.Network}), t.setRoutes(s.Routes))
	if guarded != nil {
		guarded = t.apply(ctx, State{Guard: s.Guard})
	}
	return errors.Join(guarded, others)
}

// takeBack makes the network as it was before a change. A change that was
// confirmed at the last moment stays.
func (c *Changer) takeBack(ctx context.Context, p pendingFile) error {
	if done, err := c.readConfirmed(); err == nil && done.ID == p.ID {
		return c.remove(pendingName)
	}
	// The caller's context may be what ended it; going back has time of its own.
	if err := c.target.restore(context.WithoutCancel(ctx), p.Before); err != nil {
		return err
	}
	c.log.Info("taken back", "change", p.ID)
	return c.remove(pendingName)
}
