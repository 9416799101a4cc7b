package host

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen/host/owner"
)

// Peers asks the hosts that guests of this one may have gone to what they have
// of them; migrate.Peers is one.
type Peers interface {
	// Claims returns the owner records that other hosts have of these guests,
	// and a Claim with an Err for each host that did not answer within a time
	// that a boot can wait.
	Claims(ctx context.Context, guests []uuid.UUID) []Claim
}

// Claim is what one host has of one guest.
type Claim struct {
	Host   string
	Record owner.Record
	Err    error // the host did not answer; Record is empty
}

// superseded asks the peers, and makes sure that no guest starts here that
// another host has since a newer epoch: while this host was off, an operator's
// override gave it to that one, or a replica was promoted. Its volumes are
// fenced and its record says so, durably, as if it had been moved. Where no peer
// answers, this host's own record stands.
//
// A guest whose domain is here keeps it, without a network: it is Resume that
// ends one of two.
func (h *Host) superseded(ctx context.Context, records []owner.Record, report *BootReport) (errs []error) {
	mine := make(map[uuid.UUID]owner.Record)
	var ask []uuid.UUID
	for _, r := range records {
		if r.MayRun() == nil {
			mine[r.UUID] = r
			ask = append(ask, r.UUID)
		}
	}
	if h.peers == nil || len(ask) == 0 {
		return nil
	}
	newest := make(map[uuid.UUID]Claim)
	for _, c := range h.peers.Claims(ctx, ask) {
		if c.Err != nil {
			report.Unheard = append(report.Unheard, c.Host)
			h.log.Warn("a peer does not answer: what it has of our guests is not known", "peer", c.Host, "error", c.Err)
			continue
		}
		known := c.Record.UUID
		if c.Record.Supersedes(mine[known]) && c.Record.Epoch > newest[known].Record.Epoch {
			newest[known] = c
		}
	}
	for _, id := range ask {
		c, ok := newest[id]
		if !ok {
			continue
		}
		report.Superseded = append(report.Superseded, id)
		if err := h.concede(ctx, id, c); err != nil {
			errs = append(errs, &Error{Op: "boot", Name: id.String(), Err: err})
		}
	}
	return errs
}

// concede fences a guest that is another host's.
func (h *Host) concede(ctx context.Context, id uuid.UUID, c Claim) error {
	l, err := h.Hold(id)
	if err != nil {
		return err
	}
	defer l.Release()
	r, err := l.Record()
	if err != nil || r.MayRun() != nil || !c.Record.Supersedes(r) {
		return err
	}
	switch d, err := l.Domain(ctx); {
	case err != nil:
		return err
	case d != nil:
		return fmt.Errorf("%w: %s has it since epoch %d, and domain %d of it is here: resume the move with that host", ErrNotOwner, c.Host, c.Record.Epoch, d.ID)
	}
	if r.State == owner.Running {
		r = owner.Record{UUID: id, State: owner.Prepared, Epoch: r.Epoch, Peer: c.Host, Move: uuid.New()}
		if err := l.SetRecord(r); err != nil {
			return err
		}
	}
	r.State, r.Epoch, r.Override = owner.Fenced, r.Epoch+1, owner.Override{}
	if err := l.Fence(ctx, r.Epoch); err != nil {
		return err
	}
	return l.SetRecord(r)
}
