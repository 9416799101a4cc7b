package handover_test

import (
	"io/fs"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/xen/host/owner"
)

var (
	id = uuid.MustParse("7f3a0000-0000-4000-8000-000000000001")
	m1 = uuid.MustParse("aaaaaaaa-0000-4000-8000-000000000001")
	m2 = uuid.MustParse("aaaaaaaa-0000-4000-8000-000000000002")
)

// seen is a record on a host; peer "" is one of no move.
func seen(host string, s owner.State, epoch uint64, peer string, move uuid.UUID) handover.Seen {
	if s == "" {
		return handover.Seen{Host: host}
	}
	r := owner.Record{UUID: id, State: s, Epoch: epoch, Peer: peer, Move: move}
	return handover.Seen{Host: host, Record: r}
}

func a(s owner.State, epoch uint64) handover.Seen {
	if s == owner.Running || s == owner.Building {
		return seen("curacao", s, epoch, "", uuid.Nil)
	}
	return seen("curacao", s, epoch, "islay", m1)
}

func b(s owner.State, epoch uint64) handover.Seen {
	if s == owner.Running || s == owner.Building {
		return seen("islay", s, epoch, "", uuid.Nil)
	}
	return seen("islay", s, epoch, "curacao", m1)
}

// TestDecide is the table. In each row the first one is the source.
func TestDecide(t *testing.T) {
	for _, c := range []struct {
		source, target handover.Seen
		want           handover.Way
	}{
		// what a move from curacao to islay passes through
		{a(owner.Running, 1), b("", 0), handover.Nothing},
		{a(owner.Prepared, 1), b("", 0), handover.Back},
		{a(owner.Prepared, 1), b(owner.Receiving, 2), handover.Back},
		{a(owner.Prepared, 1), b(owner.Ready, 2), handover.Back},
		{a(owner.Fenced, 2), b(owner.Ready, 2), handover.Forward},
		{a(owner.Fenced, 2), b(owner.Committed, 2), handover.Forward},
		{a(owner.Fenced, 2), b(owner.Running, 2), handover.Forward},
		{a(owner.Released, 2), b(owner.Committed, 2), handover.Forward},
		// beside a replica that islay keeps, and its promotion
		{a(owner.Running, 1), seen("islay", owner.Replica, 1, "curacao", uuid.Nil), handover.Nothing},
		{a(owner.Prepared, 1), seen("islay", owner.Replica, 1, "curacao", uuid.Nil), handover.Back},
		{seen("curacao", owner.Released, 2, "jura", m1), seen("islay", owner.Replica, 1, "curacao", uuid.Nil), handover.Nothing},
		{a(owner.Running, 1), seen("islay", owner.Committed, 2, "curacao", m2), handover.Yield},
		{a(owner.Running, 1), b(owner.Running, 2), handover.Yield},
		// its ways back
		{a(owner.Prepared, 1), b(owner.Aborted, 2), handover.Back},
		{a(owner.Running, 1), b(owner.Receiving, 2), handover.Back},
		{a(owner.Running, 1), b(owner.Ready, 2), handover.Back},
		{a(owner.Running, 1), b(owner.Aborted, 2), handover.Nothing},
		{a(owner.Fenced, 2), b(owner.Aborted, 2), handover.Lift},
		{a(owner.Running, 3), b(owner.Aborted, 2), handover.Nothing},
		// a later one, on what earlier ones left
		{a(owner.Prepared, 3), b(owner.Released, 3), handover.Back},
		{a(owner.Prepared, 3), b(owner.Receiving, 4), handover.Back},
		{a(owner.Running, 2), b(owner.Released, 2), handover.Nothing},
		{a(owner.Prepared, 3), b(owner.Fenced, 3), handover.Back},
		// a state directory that was restored
		{a(owner.Running, 1), b(owner.Running, 2), handover.Yield},
		{a(owner.Prepared, 1), b(owner.Committed, 2), handover.Yield},
		{a("", 0), b(owner.Committed, 2), handover.Forward},
		// what an operator overrode while the other host was off
		{a(owner.Committed, 2), b(owner.Running, 3), handover.Yield},
		{a(owner.Running, 2), b(owner.Ready, 2), handover.Back},
		{a(owner.Running, 1), b(owner.Running, 3), handover.Yield},
		{a(owner.Fenced, 2), b(owner.Running, 3), handover.Forward},
		// of no move
		{a(owner.Building, 1), b("", 0), handover.Nothing},
		{a(owner.Aborted, 2), b("", 0), handover.Nothing},
	} {
		for i, pair := range [2][2]handover.Seen{{c.source, c.target}, {c.target, c.source}} {
			v, err := handover.Decide(pair[0], pair[1])
			require.NoError(t, err, "%v %v", c.source.Record, c.target.Record)
			assert.Equal(t, c.want, v.Way, "%s %s", c.source.Record.State, c.target.Record.State)
			assert.Equal(t, i, v.Source, "%s %s", c.source.Record.State, c.target.Record.State)
			assert.NotEmpty(t, v.Why)
		}
	}
}

func TestDecideConflicts(t *testing.T) {
	for _, c := range [][2]handover.Seen{
		{a(owner.Running, 2), b(owner.Running, 2)},
		{a(owner.Running, 1), b(owner.Fenced, 3)},
		{a(owner.Running, 1), b(owner.Released, 2)},
		{a(owner.Running, 1), b(owner.Building, 1)},
		{a(owner.Fenced, 2), b("", 0)},
		{a(owner.Fenced, 2), b(owner.Receiving, 2)},
		{a(owner.Fenced, 2), b(owner.Aborted, 1)},
		{a(owner.Fenced, 2), b(owner.Running, 1)},
		{a(owner.Released, 2), b("", 0)},
		{a(owner.Released, 2), b(owner.Aborted, 2)},
		{a(owner.Released, 2), b(owner.Ready, 2)},
		{a(owner.Released, 2), b(owner.Released, 3)},
		{a("", 0), b(owner.Receiving, 2)},
		{a("", 0), b(owner.Ready, 2)},
		{a(owner.Receiving, 2), b(owner.Receiving, 2)},
		{a(owner.Fenced, 2), seen("islay", owner.Ready, 2, "curacao", m2)},
		{a(owner.Fenced, 2), seen("islay", owner.Aborted, 2, "curacao", m2)},
		{a(owner.Running, 1), seen("islay", owner.Receiving, 2, "jura", m1)},
		{seen("curacao", owner.Prepared, 1, "jura", m1), b("", 0)},
	} {
		for _, pair := range [2][2]handover.Seen{{c[0], c[1]}, {c[1], c[0]}} {
			_, err := handover.Decide(pair[0], pair[1])
			require.ErrorIs(t, err, handover.ErrConflict, "%s %s", c[0].Record.State, c[1].Record.State)
		}
	}
	_, err := handover.Decide(a("", 0), b("", 0))
	require.ErrorIs(t, err, fs.ErrNotExist)

	v, err := handover.Decide(seen("curacao", owner.Released, 2, "jura", m1), b("", 0))
	require.NoError(t, err)
	assert.Equal(t, handover.Nothing, v.Way)
	assert.Contains(t, v.Why, "jura")
}

// TestDecideIsSafe goes through all pairs of records with small epochs: a way
// that lets a host start never contradicts a higher epoch on the other.
func TestDecideIsSafe(t *testing.T) {
	states := []owner.State{"", owner.Building, owner.Running, owner.Prepared, owner.Fenced, owner.Released, owner.Receiving, owner.Ready, owner.Committed, owner.Aborted}
	for _, s := range states {
		for _, r := range states {
			for e1 := uint64(1); e1 < 5; e1++ {
				for e2 := uint64(1); e2 < 5; e2++ {
					x, y := a(s, e1), b(r, e2)
					v, err := handover.Decide(x, y)
					back, backErr := handover.Decide(y, x)
					require.Equal(t, err == nil, backErr == nil, "the order does not matter")
					if err != nil {
						continue
					}
					require.Equal(t, v.Way, back.Way, "%v %v", x.Record, y.Record)
					pair := [2]handover.Seen{x, y}
					from, to := pair[v.Source].Record, pair[1-v.Source].Record
					switch v.Way {
					case handover.Back:
						require.NoError(t, from.MayRun(), "only who never gave it up gets it back")
						require.False(t, to.MayRun() == nil || to.State == owner.Committed)
					case handover.Lift:
						require.Equal(t, owner.Aborted, to.State)
					case handover.Forward:
						require.Error(t, from.MayRun())
						require.GreaterOrEqual(t, to.Epoch, from.Epoch)
					case handover.Yield:
						require.Less(t, from.Epoch, to.Epoch)
					case handover.Nothing:
						require.False(t, from.MayRun() == nil && to.MayRun() == nil)
					}
				}
			}
		}
	}
}
