package handover

import (
	"context"
	"fmt"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// Overrule says how a move ends on one host alone, if an operator vouches for
// it that the other one runs nothing, and in words what that may cost. It reads
// what this host shows and nothing else.
//
//	record here         way
//	Prepared            back: it never gave the guest up
//	Fenced              lift: it gets the guest back as it was when it gave it up
//	Ready, Committed    forward: the copy is complete
//	Receiving           drop: the copy is not complete
//
// owner.ErrOverride: no move is open here, or not with that host.
func Overrule(seen Seen, o owner.Override) (Way, string, error) {
	if err := o.Validate(); err != nil {
		return "", "", err
	}
	r := seen.Record
	if r.State == owner.Running && r.Override == o {
		return Back, seen.Host + " has it by this override already", nil
	}
	switch r.State {
	case owner.Prepared, owner.Fenced, owner.Receiving, owner.Ready, owner.Committed:
	case "":
		return "", "", fmt.Errorf("%w: %s has no record of it", owner.ErrOverride, seen.Host)
	default:
		return "", "", fmt.Errorf("%w: on %s it is %s (epoch %d), and no move is open", owner.ErrOverride, seen.Host, r.State, r.Epoch)
	}
	if o.Host != r.Peer {
		return "", "", fmt.Errorf("%w: on %s it is %s in a move with %s, not with %q", owner.ErrOverride, seen.Host, r.State, r.Peer, o.Host)
	}
	switch r.State {
	case owner.Prepared:
		return Back, seen.Host + " never gave it up: nothing is lost", nil
	case owner.Fenced:
		if r.Live && seen.Domain != nil && seen.Domain.State == xen.Running {
			return Lift, seen.Host + " did not give the domain away and runs it: nothing is lost", nil
		}
		return Lift, fmt.Sprintf("%s gave it up: if %s took it over, all that it wrote there is lost", seen.Host, r.Peer), nil
	case owner.Ready:
		return Forward, fmt.Sprintf("%s has all of it as it was at the cut-over: if %s ran it on, all that it wrote since then is lost", seen.Host, r.Peer), nil
	case owner.Committed:
		return Forward, seen.Host + " has committed: nothing is lost", nil
	}
	return Drop, fmt.Sprintf("the copy on %s is not complete and is discarded: if %s is lost, so is the guest", seen.Host, r.Peer), nil
}

// Override does what Overrule says; Source and Target are both the host that is
// left. r is its record, and is kept up to date. It can be repeated after any
// failure, and Resume goes on with it when the other host is back.
func (p Pair) Override(ctx context.Context, r *owner.Record, o owner.Override, off bool) error {
	r.Override = o
	switch r.State {
	case owner.Running, owner.Prepared, owner.Fenced: // Running: it was killed before the start
		return p.keep(ctx, r, r.Epoch+1, off)
	case owner.Ready, owner.Committed:
		return p.take(ctx, r, off)
	}
	return p.Forget(ctx, r)
}

// recall takes a committed copy back from a host that was declared dead by an
// override on the other one, and lives.
func (p Pair) recall(ctx context.Context, s, t *owner.Record, off bool) error {
	if err := p.Put(ctx, GiveUp, p.Source, s, fencedFrom(*s)); err != nil {
		return err
	}
	if err := p.Do(Bury, p.Source, "", func() error { return p.Source.Bury(ctx) }); err != nil {
		return err
	}
	if err := p.Do(Fence, p.Source, "", func() error { return p.Source.Fence(ctx, s.Epoch) }); err != nil {
		return err
	}
	return p.Forward(ctx, s, t, off)
}
