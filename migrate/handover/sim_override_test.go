package handover_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// override is an operator on host i, who vouches for it that the other one is
// off, which it is.
func (w *sim) override(i int) func() error {
	return func() error {
		ctx, h, side := context.Background(), w.hosts[i], w.side(i)
		seen, _ := side.Observe(ctx)
		o := owner.Override{Host: w.hosts[1-i].name, Vouch: owner.PoweredOff}
		way, _, err := handover.Overrule(seen, o)
		if err != nil {
			return err
		}
		if way == handover.Lift || h.rec.State == owner.Ready {
			w.acked = min(w.acked, h.disk) // the operator was told
		}
		r := h.rec
		return handover.Pair{Source: side, Target: side}.Override(ctx, &r, o, false)
	}
}

// returns is a host that was off and whose peer answers when it boots: what that
// has since a newer epoch is fenced and not started, as host.Boot does.
func (w *sim) returns(i int) {
	h, other := w.hosts[i], w.hosts[1-i]
	if h.durable.MayRun() == nil && other.rec.Supersedes(h.durable) && w.mutant != "boot asks nobody" {
		h.fenced = true
		h.durable = owner.Record{UUID: id, State: owner.Fenced, Epoch: h.durable.Epoch + 1, Peer: other.name, Move: uuid.New()}
	}
	w.boot(h)
}

// overrides goes through every effect of a live move × what happens there × what
// dies with the mover × which host loses its power for long × every effect of
// the override at which it is killed once; then the host comes back, and Resume
// ends what is open.
func overrides(mutant string) (schedules int, err error) {
	hows := []string{"before", "after", "lost"}
	for at, more := 0, true; more; at++ {
		more = false
		for _, how := range hows {
			for _, dies := range [][2]bool{{}, {true, false}, {false, true}, {true, true}} {
				for dead := range 2 {
					for at2, how2, more2 := -1, 0, true; more2; {
						first := plight{copyDies: dies[0], xlDies: dies[1]}
						first.off[dead] = true
						reached, reached2, err := overridden(mutant, at, how, first, dead, at2, hows[how2])
						if reached {
							schedules, more = schedules+1, true
						}
						if err != nil {
							return schedules, fmt.Errorf("effect %d, %s, %+v; then effect %d of the override, %s: %w", at, how, first, at2, hows[how2], err)
						}
						switch more2 = reached && (at2 < 0 || reached2); {
						case at2 < 0:
							at2 = 0
						case how2 < len(hows)-1:
							how2++
						default:
							at2, how2 = at2+1, 0
						}
					}
				}
			}
		}
	}
	return schedules, nil
}

func overridden(mutant string, at int, how string, first plight, dead, at2 int, how2 string) (reached, reached2 bool, err error) {
	w := newSim()
	w.mutant = mutant
	if reached, _, _ = w.run(w.live, at, how, first); !reached || !w.hosts[dead].off {
		return reached && w.hosts[dead].off, false, nil // nobody died of it
	}
	left := w.hosts[1-dead]
	open := owner.Override{Host: w.hosts[dead].name, Vouch: owner.Destroyed}
	seen, _ := w.side(1 - dead).Observe(context.Background())
	_, _, refused := handover.Overrule(seen, open)
	if at2 >= 0 {
		reached2, _, _ = w.run(w.override(1-dead), at2, how2, plight{})
	}
	_, _, err = w.run(w.override(1-dead), -1, "", plight{})
	if refused == nil && err != nil && left.rec.Override == (owner.Override{}) {
		return reached, reached2, fmt.Errorf("the override: %w", err)
	}
	w.tick()
	if refused == nil && left.rec.State != owner.Aborted && left.domain != xen.Running {
		return reached, reached2, fmt.Errorf("after the override it is %s and %q on %s", left.rec.State, left.domain, left.name)
	}
	was := left.rec
	w.returns(dead)
	w.tick()
	if _, _, err = w.run(w.resume, -1, "", plight{}); err == nil {
		_, _, err = w.run(w.resume, -1, "", plight{})
	}
	w.tick()
	if err == nil {
		err = w.settled()
	}
	if err == nil && was.Override != (owner.Override{}) && was.State == owner.Running && left.rec != was {
		err = fmt.Errorf("the override was not the last word: %+v", left.rec)
	}
	if len(w.broken) > 0 {
		err = fmt.Errorf("%s (%d more)", w.broken[0], len(w.broken)-1)
	}
	return reached, reached2, err
}

// TestOverrides: an override that is given while the other host is off never
// leads to two copies, also when that host comes back.
func TestOverrides(t *testing.T) {
	n, err := overrides("")
	require.NoError(t, err)
	t.Logf("%d schedules", n)
	assert.GreaterOrEqual(t, n, 1000)
}

func TestMutantBootAsksNobody(t *testing.T) {
	n, err := overrides("boot asks nobody")
	require.Error(t, err, "%d schedules, and nobody noticed", n)
	t.Logf("%d schedules; first: %v", n, err)
}

func TestOverrule(t *testing.T) {
	o := owner.Override{Host: "islay", Vouch: owner.Destroyed}
	for _, c := range []struct {
		seen handover.Seen
		want handover.Way
	}{
		{a(owner.Prepared, 1), handover.Back},
		{a(owner.Fenced, 2), handover.Lift},
		{a(owner.Ready, 2), handover.Forward},
		{a(owner.Committed, 2), handover.Forward},
		{a(owner.Receiving, 2), handover.Drop},
	} {
		way, why, err := handover.Overrule(c.seen, o)
		require.NoError(t, err)
		assert.Equal(t, c.want, way, c.seen.Record.State)
		assert.NotEmpty(t, why)
		_, _, err = handover.Overrule(c.seen, owner.Override{Host: "jura", Vouch: owner.Destroyed})
		require.ErrorIs(t, err, owner.ErrOverride)
		_, _, err = handover.Overrule(c.seen, owner.Override{Host: "islay", Vouch: "I think so"})
		require.ErrorIs(t, err, owner.ErrOverride)
	}
	for _, seen := range []handover.Seen{a("", 0), a(owner.Running, 1), a(owner.Released, 2), a(owner.Aborted, 2), a(owner.Building, 1)} {
		_, _, err := handover.Overrule(seen, o)
		require.ErrorIs(t, err, owner.ErrOverride, seen.Record.State)
	}
}
