package replica

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/xen/host"
)

// Report says what a run did, also when it failed.
type Report struct {
	UUID uuid.UUID `json:"uuid"`
	Name string    `json:"name"`
	From string    `json:"from"`
	To   string    `json:"to"`
	// Generation is what the peer has confirmed; nil: nothing, in this run.
	Generation *Generation `json:"generation,omitempty"`
	// Finished is one that an earlier run had begun, and this one finished
	// first.
	Finished *Generation   `json:"finished,omitempty"`
	Disks    []DiskReport  `json:"disks,omitempty"`
	Sent     int64         `json:"sent"` // bytes to the peer
	Duration time.Duration `json:"duration"`
	Notes    []string      `json:"notes,omitempty"` // what was not as expected, and did no harm
}

// DiskReport is what was sent of a disk.
type DiskReport struct {
	Dev string `json:"dev"`
	blockcopy.Report
}

// Run makes a new generation at the peer. It holds the guest only while it makes
// and removes snapshots, so everything but a move of it goes on meanwhile; a run
// ends when a move begins.
//
// After any failure the peer holds the last generation as it was, and the next
// Run goes on. lvm.ErrSnapshotInvalid: a snapshot ran full, and nothing of this
// run is of use.
func (p *Plan) Run(ctx context.Context) (Report, error) {
	began := time.Now()
	r := &run{Plan: p, report: Report{UUID: p.Guest.UUID, Name: p.Guest.Name, From: p.From, To: p.To}}
	err := r.run(ctx)
	r.report.Duration = time.Since(began)
	if err != nil {
		err = &Error{Op: "replicate", Name: p.Guest.Name, Err: err}
	}
	return r.report, err
}

type run struct {
	*Plan
	memory *memory
	keeper Keeper
	epoch  uint64
	report Report
}

func (r *run) run(ctx context.Context) (err error) {
	if r.memory, err = remember(r.host, r.Guest.UUID, r.To); err != nil {
		return err
	}
	defer r.memory.close()
	if r.keeper, err = r.peer.Keep(ctx, r.Guest.UUID); err != nil {
		return fmt.Errorf("hold on %s: %w", r.To, err)
	}
	defer func() { err = errors.Join(err, r.keeper.Close()) }()

	l, err := hold(ctx, r.host, r.Guest.UUID)
	if err != nil {
		return err
	}
	defer l.Release()
	record, err := mayCopy(l)
	if err != nil {
		return err
	}
	r.epoch = record.Epoch
	ctx, stop := watch(ctx, r.host, r.Guest.UUID, r.epoch)
	defer stop()

	resumes, err := resumable(ctx, r.host, r.memory, r.To)
	if err != nil {
		return err
	}
	if resumes {
		l.Release()
		if err := r.copy(ctx); err != nil {
			return r.failed(ctx, err)
		}
		r.report.Finished = r.report.Generation
		if l, err = hold(ctx, r.host, r.Guest.UUID); err != nil {
			return err
		}
		defer l.Release()
	}
	if err := r.snapshot(ctx, l); err != nil {
		return err
	}
	l.Release()
	if err := r.copy(ctx); err != nil {
		return r.failed(ctx, err)
	}
	r.tidy(ctx)
	return nil
}

// failed prefers the reason for which ctx was ended.
func (r *run) failed(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return fmt.Errorf("%w (%w)", cause, err)
	}
	return err
}

// resumable tells whether the snapshots of a run that was cut are all there and
// good. If they are not, that run is of no use.
func resumable(ctx context.Context, h *host.Host, m *memory, peer string) (bool, error) {
	if m.Now == nil {
		return false, nil
	}
	snapshots, err := h.SnapshotsFor(ctx, m.Now.Guest.UUID, peer)
	if err != nil {
		return false, err
	}
	for _, d := range m.Now.Guest.Disks {
		i := slices.IndexFunc(snapshots, func(s host.ReplicaSnapshot) bool { return s.Run == m.Now.Run && s.Dev == d.Dev })
		if i < 0 || snapshots[i].Size != d.Size {
			return false, nil
		}
		if err := good(ctx, h, snapshots[i].Volume); err != nil {
			return false, ctx.Err()
		}
	}
	return true, nil
}

// good asks the kernel whether what was read of a snapshot until now was what
// its origin held.
func good(ctx context.Context, h *host.Host, v lvm.Volume) error {
	if v.Kind != lvm.Snapshot { // a thin one: its pool stops rather
		return nil
	}
	_, err := h.Volumes().Fill(ctx, v.ID)
	return err
}

// snapshot begins a new generation.
func (r *run) snapshot(ctx context.Context, l *host.Hold) error {
	var keep []uuid.UUID
	if r.memory.Last != nil {
		keep = append(keep, r.memory.Last.Run)
	}
	if err := l.DropSnapshotsFor(ctx, r.To, keep...); err != nil {
		return err
	}
	g, err := l.Definition()
	if err != nil {
		return err
	}
	r.Guest = g
	id, taken := uuid.New(), time.Now().UTC()
	_, err = l.SnapshotFor(ctx, r.To, id, r.opts.Room)
	if errors.Is(err, lvm.ErrNoSpace) && len(keep) > 0 {
		r.note("there is no room for two snapshots: that of the last generation is given up, and all is read")
		if err = l.DropSnapshotsFor(ctx, r.To); err == nil {
			_, err = l.SnapshotFor(ctx, r.To, id, r.opts.Room)
		}
	}
	if err != nil {
		return err
	}
	return r.memory.begin(g, id, taken)
}

// copy brings what the cursor says is on its way to the peer, and moves it.
func (r *run) copy(ctx context.Context) error {
	now := r.memory.Now
	held, err := r.keeper.Begin(ctx, Offer{Run: now.Run, Epoch: r.epoch, Guest: now.Guest})
	if err != nil {
		return fmt.Errorf("begin on %s: %w", r.To, err)
	}
	if held.Generation == nil || held.Generation.Run != now.Run { // else only the answer was lost
		for _, d := range now.Guest.Disks {
			if err := r.disk(ctx, d, held.Disks[d.Dev]); err != nil {
				return fmt.Errorf("disk %s: %w", d.Dev, err)
			}
		}
		if err := r.sound(ctx); err != nil {
			return err
		}
		confirmed, err := r.keeper.Commit(ctx, *now)
		if err == nil && confirmed.Run != now.Run {
			err = fmt.Errorf("%w: it has confirmed %s, not %s", host.ErrInvalid, confirmed.Run, now.Run)
		}
		if err != nil {
			return fmt.Errorf("commit on %s: %w", r.To, err)
		}
		held.Generation = &confirmed
	}
	made := *now // what the peer says of it is its number, and when
	made.Number, made.Confirmed, made.From, made.Epoch = held.Generation.Number, held.Generation.Confirmed, r.From, r.epoch
	if r.opts.Verify {
		if err := r.verify(ctx, &made); err != nil {
			return err
		}
	}
	r.report.Generation = &made
	return r.memory.confirmed(made)
}

// sound looks, when all was read, whether it was read from good snapshots, and
// whether the guest is still this host's.
func (r *run) sound(ctx context.Context) error {
	for _, d := range r.memory.Now.Guest.Disks {
		v, err := r.host.Volumes().Volume(ctx, r.snapshotOf(d))
		if err == nil {
			err = good(ctx, r.host, v)
		}
		if errors.Is(err, lvm.ErrSnapshotInvalid) || errors.Is(err, fs.ErrNotExist) {
			err = errors.Join(err, r.memory.drop())
		}
		if err != nil {
			return err
		}
	}
	return owns(r.host, r.Guest.UUID, r.epoch)
}

// snapshotOf is the name that host.Hold.SnapshotFor gave.
func (r *run) snapshotOf(d host.Disk) lvm.ID { return host.ReplicaSnapshotID(d, r.memory.Now.Run) }

// verify lets both hosts read everything again.
func (r *run) verify(ctx context.Context, g *Generation) error {
	sums := make(map[string]string)
	for _, d := range g.Guest.Disks {
		device, err := r.host.Volumes().Open(ctx, r.snapshotOf(d))
		if err != nil {
			return err
		}
		here, err := blockcopy.Sum(ctx, device, device.Size())
		if err = errors.Join(err, device.Close()); err != nil {
			return err
		}
		if err := r.sound(ctx); err != nil {
			return err
		}
		there, err := r.keeper.Sum(ctx, d.Dev)
		if err != nil {
			return err
		}
		if here != there {
			g.Doubt = fmt.Sprintf("SHA-256 of %s is %x on %s and %x on %s", d.Dev, here, r.From, there, r.To)
			_, err := r.keeper.Commit(ctx, *g)
			return errors.Join(fmt.Errorf("%w: %s", ErrDiffers, g.Doubt), err, r.memory.doubt(g.Guest))
		}
		sums[d.Dev] = hex.EncodeToString(here[:])
	}
	g.Sums = sums
	_, err := r.keeper.Commit(ctx, *g)
	return err
}

// tidy removes the snapshots that no later run needs.
func (r *run) tidy(ctx context.Context) {
	l, err := hold(ctx, r.host, r.Guest.UUID)
	if err == nil {
		defer l.Release()
		var keep []uuid.UUID
		if !r.opts.IndexOnly {
			keep = append(keep, r.memory.Last.Run)
		}
		err = l.DropSnapshotsFor(ctx, r.To, keep...)
	}
	if err != nil {
		r.report.Notes = append(r.report.Notes, "snapshots are left for the next run to remove: "+err.Error())
	}
}
