package migrate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/migrate/lock"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// Mode is how a guest is moved.
type Mode string

// Cold is for every guest: its disks are copied while it runs, it powers off,
// what it changed meanwhile follows, and it boots on the other host.
const Cold Mode = "cold"

// Live is for a guest that runs: its disks are copied in rounds, then its
// memory, and it goes on on the other host where it was interrupted, for the
// time that the last bits of both take. A PV guest is interrupted for as long
// as all of its memory takes.
const Live Mode = "live"

// Plan is a move that was looked at and not begun. It is data: print it as the
// dry run, Run it, or drop it.
type Plan struct {
	Guest    host.Guest `json:"guest"`
	From     string     `json:"from"`
	To       string     `json:"to"`
	Mode     Mode       `json:"mode"`
	Runs     bool       `json:"runs"` // the guest runs now; otherwise nobody notices the move
	Disks    []DiskPlan `json:"disks"`
	Leftover bool       `json:"leftover,omitempty"` // an earlier move's copy is there: discarded first, unless GoesOn
	GoesOn   bool       `json:"goes_on,omitempty"`  // that copy is gone on with
	// Suspended: the guest is interrupted for as long as its memory travels,
	// since Xen can not follow the writes of a PV guest.
	Suspended bool `json:"suspended,omitempty"`
	// Unchecked is what the hosts could not tell before the move: a guest that
	// moves live may miss it there.
	Unchecked []string `json:"unchecked,omitempty"`
	// Downtime is the part of it that the hosts need, estimated; the guest's
	// own power-off and boot come on top, but in a live move. Basis says what it
	// rests on.
	Downtime time.Duration `json:"downtime"`
	Basis    string        `json:"basis"`

	from, to Host
	opts     Options
	notLive  []string // why it can not move live
	// notRounds is why its writes can not be followed while it runs.
	notRounds []string
}

// DiskPlan is what happens to one disk.
type DiskPlan struct {
	host.Disk
	// Kept tells that the target has the volume from an earlier move: it tells
	// by hashes what it holds, and only what differs is sent.
	Kept bool `json:"kept,omitempty"`
	// Left is when the target gave the guest away, of a volume that was kept
	// then; else zero.
	Left time.Time `json:"left,omitzero"`
}

// Options changes how a move works; nil is the defaults.
type Options struct {
	// Locker keeps others from the guest on hosts that this move does not hold;
	// nil relies on the two that it does. All who work on the guest must use one
	// and the same. lock.ErrBusy: another one has it. A lock that is lost before
	// the cut-over ends the move with lock.ErrLost, with the guest where it is.
	Locker lock.Locker
	// OnStep is called before each effect of a move. Its error ends the move
	// there, as a failure of that step would; while the move is being rolled
	// back or forward after a failure, its error is not looked at.
	OnStep func(handover.Step) error
	// MaxPause is for how long a live or two-pass move may keep the guest from its
	// disks: rounds are made until what is left is sent in half of that, at the
	// rate of the round before; 0 is one second, and five in a two-pass move.
	MaxPause time.Duration
	// MaxRounds ends a move in which that is not reached with ErrBusyDisks; 0 is
	// 12. One in which the rest does not shrink ends sooner.
	MaxRounds int
	// VerifyFull reads all of every disk again on both hosts while the guest is
	// interrupted in a live or two-pass move. Without it that is done with what was sent
	// last; every part of a copy is proven by its hash as it arrives.
	VerifyFull bool
	// BeforeStop is called before a guest is asked to stop, or its memory is
	// sent, and AfterStart when it runs at the target: for accounting, for
	// announcements. An error of BeforeStop ends the move, with the guest where
	// it is; one of AfterStart is in Report.Hook.
	BeforeStop, AfterStart func(context.Context, host.Guest) error
	// Limit is how many bytes a second the move sends, disks and memory
	// together; 0 is no limit. Less than the guest writes is ErrBusyDisks in a
	// live move, and the pause of a move grows with what is left to send.
	Limit int64
	// Redial connects to the target again when the connection is cut while the
	// guest still runs at the source; it may wait as long as it likes. What had
	// arrived is not sent again. An error of it ends the move, with the guest
	// where it is; nil is that a cut ends it. The move closes what it returns.
	// It is called at each cut, so that a caller can count.
	Redial func(context.Context) (Host, error)
	// Progress is called at each step and while bytes flow, from one goroutine
	// at a time. It must not block.
	Progress func(Event)
}

// Event is how far a move is.
type Event struct {
	Step  handover.Step `json:"step"`
	Done  int64         `json:"done"`            // bytes of the disk dealt with in this step
	Total int64         `json:"total,omitempty"` // of how many; 0: the step has no bytes
}

// assumedRate is what a disk and the hash of it are taken to do in a plan.
const assumedRate = 500 << 20

// PlanMove looks at both hosts and says what a move would do. It holds the
// guest on both for a moment and changes nothing.
//
// ErrRefused lists everything that stands in the way; ErrInterrupted says that
// an earlier move has to be resumed first, host.ErrBusy that an operation is
// under way, ErrNotOwner that from has no right to the guest.
func PlanMove(ctx context.Context, from, to Host, guest uuid.UUID, mode Mode, opts *Options) (*Plan, error) {
	p, err := planMove(ctx, from, to, guest, mode, opts)
	if err != nil {
		return nil, &Error{Op: "plan move of", Name: guest.String(), Err: err}
	}
	return p, nil
}

func planMove(ctx context.Context, from, to Host, guest uuid.UUID, mode Mode, opts *Options) (*Plan, error) {
	if mode != Cold && mode != Live && mode != TwoPass {
		return nil, fmt.Errorf("%w: a %q move", errors.ErrUnsupported, mode)
	}
	pair, err := openPair(ctx, from, to, guest)
	if err != nil {
		return nil, err
	}
	defer closePair(pair)
	p, _, _, err := look(ctx, pair)
	if err != nil {
		return nil, err
	}
	p.from, p.to, p.Mode = from, to, mode
	if opts != nil {
		p.opts = *opts
	}
	if err := p.may(); err != nil {
		return nil, err
	}
	return p, nil
}

// openPair holds the guest on both hosts.
func openPair(ctx context.Context, from, to Host, guest uuid.UUID) (handover.Pair, error) {
	if from.Name() == to.Name() {
		return handover.Pair{}, fmt.Errorf("%w: both hosts are called %s", host.ErrInvalid, to.Name())
	}
	source, err := open(ctx, from, guest)
	if err != nil {
		return handover.Pair{}, fmt.Errorf("hold on %s: %w", from.Name(), err)
	}
	target, err := open(ctx, to, guest)
	if err != nil {
		source.Close()
		return handover.Pair{}, fmt.Errorf("hold on %s: %w", to.Name(), err)
	}
	return handover.Pair{Source: source, Target: target}, nil
}

func closePair(p handover.Pair) {
	p.Target.Close()
	p.Source.Close()
}

// look observes both hosts and makes the plan, or says all that is in its way.
func look(ctx context.Context, pair handover.Pair) (*Plan, handover.Seen, handover.Seen, error) {
	s, err := pair.Source.Observe(ctx)
	if err != nil {
		return nil, s, s, fmt.Errorf("look at %s: %w", pair.Source.Host(), err)
	}
	t, err := pair.Target.Observe(ctx)
	if err != nil {
		return nil, s, t, fmt.Errorf("look at %s: %w", pair.Target.Host(), err)
	}
	leftover, err := mayMove(s, t)
	if err != nil {
		return nil, s, t, err
	}
	here, err := pair.Source.Survey(ctx, *s.Guest)
	if err != nil {
		return nil, s, t, fmt.Errorf("survey %s: %w", s.Host, err)
	}
	there, err := pair.Target.Survey(ctx, *s.Guest)
	if err != nil {
		return nil, s, t, fmt.Errorf("survey %s: %w", t.Host, err)
	}
	var problems []string
	for _, why := range here.Snapshots {
		problems = append(problems, s.Host+": "+why)
	}
	for _, why := range there.Problems {
		problems = append(problems, t.Host+": "+why)
	}
	problems = append(problems, frames(*s.Guest, s, t, here, there)...)
	notLive := liveProblems(*s.Guest, s, t, here, there)
	p := &Plan{
		notLive: notLive, Unchecked: unchecked(s, t, here, there), Suspended: here.Suspends, Guest: *s.Guest, From: s.Host, To: t.Host,
		Runs: s.Domain != nil, Leftover: leftover, GoesOn: leftover && goesOn(*s.Guest, t),
	}
	for _, why := range here.Rounds {
		p.notRounds = append(p.notRounds, s.Host+": "+why)
	}
	for _, d := range s.Guest.Disks {
		disk := DiskPlan{Disk: d, Kept: slices.ContainsFunc(there.Kept, func(v lvm.Volume) bool { return v.ID == d.Volume })}
		if disk.Kept && t.Record.State == owner.Released {
			disk.Left = t.Record.Since
		}
		p.Disks = append(p.Disks, disk)
		if why := source(d, s.Volumes); why != "" {
			problems = append(problems, s.Host+": "+why)
		}
	}
	if len(problems) > 0 {
		return nil, s, t, fmt.Errorf("%w: %s", ErrRefused, strings.Join(problems, "; "))
	}
	return p, s, t, nil
}

// mayMove reads the records: whether the source may give the guest away and
// the target may get it, and whether an earlier copy is in the way.
func mayMove(s, t handover.Seen) (leftover bool, err error) {
	switch s.Record.State {
	case owner.Running:
	case "":
		return false, fmt.Errorf("%s: %w", s.Host, fs.ErrNotExist)
	case owner.Prepared, owner.Fenced, owner.Receiving, owner.Ready, owner.Committed:
		return false, fmt.Errorf("%w: on %s it is %s in a move with %s: run Resume first", ErrInterrupted, s.Host, s.Record.State, s.Record.Peer)
	default:
		return false, fmt.Errorf("%s: %w", s.Host, s.Record.MayRun())
	}
	if s.Guest == nil {
		return false, fmt.Errorf("%w: %s has a record of the guest and no definition", ErrConflict, s.Host)
	}
	r := t.Record
	switch r.State {
	case "", owner.Aborted, owner.Replica: // of the latter its volumes are used
	case owner.Receiving, owner.Ready:
		if r.Peer != s.Host {
			return false, fmt.Errorf("%w: %s is in a move of it with %s: run Resume with that host first", ErrInterrupted, t.Host, r.Peer)
		}
		leftover = true
	case owner.Fenced:
		return false, fmt.Errorf("%w: %s has not finished to give it away: run Resume first", ErrInterrupted, t.Host)
	case owner.Released:
		if r.Epoch > s.Record.Epoch {
			return false, fmt.Errorf("%w: %s handed it away at epoch %d, which is newer than %d here", ErrConflict, t.Host, r.Epoch, s.Record.Epoch)
		}
	default:
		return false, fmt.Errorf("%w: %s has a record of it too: %s (epoch %d); run Resume first", ErrConflict, t.Host, r.State, r.Epoch)
	}
	if r.Epoch > s.Record.Epoch+1 {
		return false, fmt.Errorf("%w: %s knows epoch %d, which is newer than %d on %s", ErrConflict, t.Host, r.Epoch, s.Record.Epoch, s.Host)
	}
	return leftover, nil
}

// source says what is wrong with a disk's volume where it is now.
func source(d host.Disk, have []lvm.Volume) string {
	i := slices.IndexFunc(have, func(v lvm.Volume) bool { return v.ID == d.Volume })
	switch {
	case i < 0:
		return fmt.Sprintf("volume %s does not exist", d.Volume)
	case have[i].Size != d.Size:
		return fmt.Sprintf("volume %s has %d bytes, its definition says %d", d.Volume, have[i].Size, d.Size)
	}
	return ""
}
