package replica

import (
	"context"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen/host"
)

// State is how well a guest is replicated. The worst ones are the largest.
type State int

// The states, which are the exit codes that monitoring plug-ins use: 0 is well, 1
// a warning, 2 critical, 3 unknown.
const (
	Fresh   State = iota // its generation is young enough
	Stale                // it is older
	Missing              // there is none, or it is doubtful
	Unknown              // the peer does not answer
)

// String is the word.
func (s State) String() string {
	switch s {
	case Fresh:
		return "fresh"
	case Stale:
		return "stale"
	case Missing:
		return "missing"
	}
	return "unknown"
}

// MarshalText implements encoding.TextMarshaler.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Health is how well one guest is replicated.
type Health struct {
	UUID   uuid.UUID     `json:"uuid"`
	Name   string        `json:"name"`
	State  State         `json:"state"`
	Number int           `json:"number,omitempty"` // of the generation
	Age    time.Duration `json:"age,omitempty"`    // of what it shows
	Why    string        `json:"why,omitempty"`
}

// Check asks a peer what it has of the guests that h owns, or of those given,
// and tells of each whether that is at most so old. It does not believe what is
// remembered here. Age is by the clock of h, which is the one that the
// generations were stamped with.
//
// If the peer does not answer, the error says why and each State is Unknown.
func Check(ctx context.Context, h *host.Host, peer Peer, guests []uuid.UUID, limit time.Duration) ([]Health, error) {
	if guests == nil {
		var err error
		if guests, err = owned(ctx, h); err != nil {
			return nil, err
		}
	}
	kept, err := peer.Kept(ctx)
	now := time.Now()
	all := make([]Health, 0, len(guests))
	for _, id := range guests {
		health := Health{UUID: id, Name: id.String(), State: Unknown}
		if g, findErr := h.Find(ctx, id.String()); findErr == nil {
			health.Name = g.Name
		}
		if err == nil {
			health.judge(of(kept, id), h.Name(), now, limit)
		} else {
			health.Why = err.Error()
		}
		all = append(all, health)
	}
	return all, err
}

// Worst is the worst State of some guests; of none it is Fresh.
func Worst(all []Health) (worst State) {
	for _, h := range all {
		worst = max(worst, h.State)
	}
	return worst
}

func of(kept []Kept, id uuid.UUID) Kept {
	for _, k := range kept {
		if k.UUID == id {
			return k
		}
	}
	return Kept{}
}

func (h *Health) judge(k Kept, from string, now time.Time, limit time.Duration) {
	g := k.Generation
	switch {
	case k.UUID == uuid.Nil:
		h.State, h.Why = Missing, "the peer has no replica"
	case g == nil:
		h.State, h.Why = Missing, "its first copy has not ended"
	case g.From != from:
		h.State, h.Why = Missing, "the peer's replica is of "+g.From
	case g.Doubt != "":
		h.State, h.Number, h.Why = Missing, g.Number, g.Doubt
	default:
		h.State, h.Number, h.Age = Fresh, g.Number, k.Age(now)
		if h.Age > limit {
			h.State, h.Why = Stale, "older than "+limit.String()
		}
	}
}

// recall reads what is remembered of a peer's replica, without a lock.
func recall(h *host.Host, guest uuid.UUID, peer string) (c cursor, err error) {
	_, err = read(filepath.Join(h.ReplicatingDir(guest, peer), cursorFile), &c)
	return c, err
}
