package replica

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// Options changes how a run works; nil is the defaults.
type Options struct {
	// Limit is shared by all runs that are given it; nil is none.
	Limit *Limit
	// Room is what each snapshot has for blocks that the guest writes while it
	// is there, in bytes; 0 is enough for any. One that runs full ends the run,
	// or lets the next one read all of the disk.
	Room int64
	// IndexOnly removes the snapshots when a run has ended. The guest then
	// writes at its full rate between runs, and each run reads all of its disks.
	IndexOnly bool
	// Verify lets both hosts read all of every disk again, and compares.
	Verify bool
	// Progress is called while bytes flow, from one goroutine at a time. It must
	// not block.
	Progress func(Event)
}

// Event is how far a run is.
type Event struct {
	Guest uuid.UUID `json:"guest"`
	Name  string    `json:"name"`
	Dev   string    `json:"dev"`
	blockcopy.Progress
}

// Plan is a run that was looked at and not begun: print it as the dry run, Run
// it, or drop it.
type Plan struct {
	Guest host.Guest `json:"guest"`
	From  string     `json:"from"`
	To    string     `json:"to"`
	// Last is what the peer confirmed last, as is remembered here; nil: nothing.
	Last *Generation `json:"last,omitempty"`
	// Resumes tells that a run that was cut is finished first.
	Resumes bool       `json:"resumes,omitempty"`
	Disks   []DiskPlan `json:"disks"`

	host *host.Host
	peer Peer
	opts Options
}

// DiskPlan is what a run would do with a disk.
type DiskPlan struct {
	Dev  string        `json:"dev"`
	How  blockcopy.How `json:"how"`
	Read int64         `json:"read"` // bytes that will be read here
	Why  string        `json:"why,omitempty"`
}

// PlanCopy looks at a guest of h and at what is remembered of the replica that
// peer keeps. It changes nothing and does not ask the peer.
//
// fs.ErrNotExist: h does not know the guest; owner.ErrNotOwner: it has no right
// to it; host.ErrBusy: an operation or another run is under way.
func PlanCopy(ctx context.Context, h *host.Host, peer Peer, guest uuid.UUID, opts *Options) (*Plan, error) {
	p := &Plan{host: h, peer: peer, From: h.Name(), To: peer.Name()}
	if opts != nil {
		p.opts = *opts
	}
	if err := p.look(ctx, guest); err != nil {
		return nil, &Error{Op: "plan of", Name: guest.String(), Err: err}
	}
	return p, nil
}

func (p *Plan) look(ctx context.Context, guest uuid.UUID) error {
	if p.From == p.To {
		return fmt.Errorf("%w: both hosts are called %s", host.ErrInvalid, p.To)
	}
	l, err := hold(ctx, p.host, guest)
	if err != nil {
		return err
	}
	defer l.Release()
	if _, err := mayCopy(l); err != nil {
		return err
	}
	if p.Guest, err = l.Definition(); err != nil {
		return err
	}
	m, err := remember(p.host, guest, p.To)
	if err != nil {
		return err
	}
	defer m.close()
	p.Last = m.Last
	if p.Resumes, err = resumable(ctx, p.host, m, p.To); err != nil {
		return err
	}
	for _, d := range p.Guest.Disks {
		plan := DiskPlan{Dev: d.Dev, How: blockcopy.ByHashes, Read: d.Size, Why: "nothing is known of what " + p.To + " has"}
		if _, ok := m.Last.disk(d.Dev); ok {
			changed, _, err := changes(ctx, p.host, guest, m.Last, p.To, d.Dev)
			switch {
			case err == nil:
				plan.How, plan.Read, plan.Why = blockcopy.ByChanges, total(changed), ""
			case ctx.Err() != nil:
				return ctx.Err()
			default:
				plan.How, plan.Why = blockcopy.ByIndex, err.Error()
			}
		}
		p.Disks = append(p.Disks, plan)
	}
	return nil
}

// hold takes the guest, or returns host.ErrBusy when it was not free within 45 s:
// longer than most operations take, and than the end of a dead connection goes
// unnoticed.
func hold(ctx context.Context, h *host.Host, guest uuid.UUID) (*host.Hold, error) {
	late := time.NewTimer(45 * time.Second)
	defer late.Stop()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		l, err := h.Hold(guest)
		if !errors.Is(err, host.ErrBusy) {
			return l, err
		}
		if r, _ := h.Owner(guest); r.State == owner.Prepared { // a move, which takes its time
			return nil, err
		}
		select {
		case <-poll.C:
		case <-late.C:
			return nil, err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// mayCopy returns the record of a guest that is this host's and in no move.
func mayCopy(l *host.Hold) (owner.Record, error) {
	r, err := l.Record()
	switch {
	case err != nil:
		return r, err
	case r.State == "":
		return r, fs.ErrNotExist
	case r.State == owner.Prepared:
		return r, fmt.Errorf("%w: a move to %s is open", host.ErrBusy, r.Peer)
	}
	return r, r.MayRun()
}

// owns is mayCopy for one who does not hold the guest.
func owns(h *host.Host, guest uuid.UUID, epoch uint64) error {
	r, err := h.Owner(guest)
	switch {
	case err != nil:
		return err
	case r.State != owner.Running || r.Epoch != epoch:
		return fmt.Errorf("%w: meanwhile its record is %s (epoch %d)", host.ErrBusy, r.State, r.Epoch)
	}
	return nil
}

// changes asks the snapshot of the last generation what was written since.
func changes(ctx context.Context, h *host.Host, guest uuid.UUID, last *Generation, peer, dev string) ([]lvm.Extent, blockcopy.Generation, error) {
	since, ok := last.disk(dev)
	if !ok {
		return nil, since, errors.New("there was no generation of it")
	}
	snapshots, err := h.SnapshotsFor(ctx, guest, peer)
	if err != nil {
		return nil, since, err
	}
	for _, s := range snapshots {
		if s.Run == last.Run && s.Dev == dev {
			changed, err := h.Volumes().Changed(ctx, s.ID)
			return changed, since, err
		}
	}
	return nil, since, errors.New("the snapshot of the last generation is not there")
}

func total(extents []lvm.Extent) (n int64) {
	for _, e := range extents {
		n += e.Length
	}
	return n
}

// String is the dry run, a line a disk.
func (p *Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "replicate %s from %s to %s\n", p.Guest.Name, p.From, p.To)
	switch {
	case p.Last == nil:
		fmt.Fprintf(&b, "  %s has confirmed no generation\n", p.To)
	default:
		fmt.Fprintf(&b, "  %s has generation %d of %s\n", p.To, p.Last.Number, p.Last.Taken.Format(time.DateTime))
	}
	if p.Resumes {
		b.WriteString("  a run that was cut is finished first\n")
	}
	for _, d := range p.Disks {
		fmt.Fprintf(&b, "  %s by %s, reading %d MiB", d.Dev, d.How, (d.Read+1<<20-1)>>20)
		if d.Why != "" {
			b.WriteString(" (" + d.Why + ")")
		}
		b.WriteByte('\n')
	}
	return b.String()
}
