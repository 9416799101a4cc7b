package replica

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// Proof is why the host that a replica is of can not run the guest any more.
// Exactly one of Vouch and Fence is there.
type Proof struct {
	Host string `json:"host"` // that host
	// Vouch is an operator's word; it is kept in the owner record.
	Vouch owner.Vouch `json:"vouch,omitempty"`
	// Fence is what a fencing device said when it had switched that host off, or
	// its network and disks: a text for the log. That it is true is the caller's
	// to see to.
	Fence string `json:"fence,omitempty"`
}

// covers refuses a proof that is none, or of another host.
func (p Proof) covers(from string) error {
	word := owner.Override{Host: p.Host, Vouch: p.Vouch}
	switch {
	case p.Host != from:
		return fmt.Errorf("%w: the replica is of %s, the proof is of %q", ErrUnproven, from, p.Host)
	case (p.Vouch == "") == (p.Fence == ""):
		return fmt.Errorf("%w: either an operator's word or what a fencing device said", ErrUnproven)
	case p.Vouch != "" && word.Validate() != nil:
		return fmt.Errorf("%w: %w", ErrUnproven, word.Validate())
	}
	return nil
}

// PromoteOptions changes what Promote does; nil is the defaults.
type PromoteOptions struct {
	// Verify reads all of the disks first and compares them with the SHA-256 of
	// the generation, if it has them (Options.Verify).
	Verify bool `json:"verify,omitempty"`
	// Doubtful promotes also a generation that is known to differ from its
	// source, where a damaged guest is better than none.
	Doubtful bool `json:"doubtful,omitempty"`
	// DryRun looks, and promotes nothing.
	DryRun bool `json:"dry_run,omitempty"`
}

// Promotion says what Promote did, or would do.
type Promotion struct {
	UUID  uuid.UUID `json:"uuid"`
	Name  string    `json:"name"`
	From  string    `json:"from"` // the host that is gone
	On    string    `json:"on"`   // the host that has the guest now
	Epoch uint64    `json:"epoch"`
	// Generation is the one that the guest starts from, and Window how old it
	// was: what the guest wrote in that time is lost.
	Generation Generation    `json:"generation"`
	Window     time.Duration `json:"window"`
	Proof      Proof         `json:"proof"`
	Started    bool          `json:"started"` // false: the guest was off
	DryRun     bool          `json:"dry_run,omitempty"`
}

// String tells the night shift what is lost.
func (p Promotion) String() string {
	state := "is"
	if p.DryRun {
		state = "would be"
	}
	why := fmt.Sprintf("an operator vouches that it is %s", p.Proof.Vouch)
	if p.Proof.Fence != "" {
		why = "fenced: " + p.Proof.Fence
	}
	return fmt.Sprintf("%s %s on %s, with generation %d of %s, taken %s\n  what it wrote in the %s after that is lost\n  %s: %s\n",
		p.Name, state, p.On, p.Generation.Number, p.From, p.Generation.Taken.UTC().Format("2006-01-02 15:04:05 UTC"),
		p.Window.Round(time.Second), p.From, why)
}

// Promote makes the replica that h keeps the guest: with its network, its rates
// and a new epoch, and starts it, unless it was off. The host that it is of must
// be gone, for which proof stands; when it is back, its boot asks h (see
// host.Config.Peers) and starts nothing, and migrate.Resume ends what it had.
//
// A promotion that was cut is finished by another one. fs.ErrNotExist: there is
// no replica, or no generation of it is whole. ErrUnproven, ErrDoubtful,
// ErrDiffers, fs.ErrExist (h owns the guest already), host.ErrBusy.
func Promote(ctx context.Context, h *host.Host, guest uuid.UUID, proof Proof, opts *PromoteOptions) (Promotion, error) {
	if opts == nil {
		opts = &PromoteOptions{}
	}
	p := &promotion{host: h, opts: *opts, Promotion: Promotion{UUID: guest, Name: guest.String(), On: h.Name(), Proof: proof, DryRun: opts.DryRun}}
	if err := p.run(ctx); err != nil {
		return p.Promotion, &Error{Op: "promote", Name: p.Name, Err: err}
	}
	return p.Promotion, nil
}

type promotion struct {
	Promotion
	host *host.Host
	opts PromoteOptions
}

func (p *promotion) run(ctx context.Context) error {
	held, err := hold(ctx, p.host, p.UUID)
	if err != nil {
		return err
	}
	defer held.Release()
	l := &Local{host: p.host, hold: held, dir: p.host.ReplicaDir(p.UUID)}
	r, err := l.hold.Record()
	switch {
	case err != nil:
		return err
	case r.State == "":
		return fs.ErrNotExist
	case r.MayRun() == nil:
		return fmt.Errorf("%w: %s owns it since epoch %d", fs.ErrExist, p.On, r.Epoch)
	case r.State != owner.Replica && (r.State != owner.Committed || p.opts.DryRun):
		return fmt.Errorf("%w: its record is %s, which is no replica", fs.ErrNotExist, r.State)
	}
	l.from = r.Peer
	if err := p.whole(ctx, l, r); err != nil {
		return err
	}
	if p.From = p.Generation.From; r.State == owner.Replica {
		p.Epoch = r.Epoch + 1
	} else {
		p.Epoch = r.Epoch
	}
	if err := p.Proof.covers(p.From); err != nil || p.opts.DryRun {
		return err
	}
	var word owner.Override
	if p.Proof.Vouch != "" {
		word = owner.Override{Host: p.Proof.Host, Vouch: p.Proof.Vouch}
	}
	// From here on it is finished also if the caller goes away.
	ctx = context.WithoutCancel(ctx)
	if err := l.hold.PromoteReplica(ctx, p.Generation.Guest, word); err != nil {
		return err
	}
	if !p.Generation.Guest.Off {
		if _, err := l.hold.Start(ctx); err != nil {
			return fmt.Errorf("it is %s's now, and does not start: %w", p.On, err)
		}
		p.Started = true
	}
	return os.RemoveAll(l.dir) // it is no replica any more
}

// whole finds the generation, finishes what a crash left of it, and proves that
// the volumes hold it.
func (p *promotion) whole(ctx context.Context, l *Local, r owner.Record) (err error) {
	g, err := load(l.dir)
	if err != nil {
		return err
	}
	var next Generation
	there, err := read(filepath.Join(l.dir, nextFile), &next)
	if err != nil {
		return err
	}
	if there {
		g = &next
	}
	if g == nil {
		return fmt.Errorf("%w: no generation of it is whole: its first copy has not ended", fs.ErrNotExist)
	}
	p.Name, p.Generation = g.Guest.Name, *g
	if r.State == owner.Committed { // its volumes are in use, or nearly
		p.Window = time.Since(g.Taken)
		return nil
	}
	for i, d := range g.Guest.Disks { // one may have grown for a generation that never came
		v, err := p.host.Volumes().Volume(ctx, d.Volume)
		if err != nil {
			return err
		}
		g.Guest.Disks[i].Size = max(d.Size, v.Size)
	}
	defer func() { err = errors.Join(err, l.shut(), l.hold.RestReplica(context.WithoutCancel(ctx))) }()
	if err := l.openAsIs(ctx, g.Guest, r.Epoch); err != nil {
		return err
	}
	if err := l.recover(ctx); err != nil {
		return err
	}
	p.Window = time.Since(g.Taken)
	p.Generation = *l.last
	p.Generation.Guest = g.Guest
	if p.Generation.Doubt != "" && !p.opts.Doubtful {
		return fmt.Errorf("%w: %s", ErrDoubtful, p.Generation.Doubt)
	}
	for dev, want := range p.Generation.Disks {
		if err := l.holds(ctx, dev, want, p.Generation.Sums[dev], p.opts.Verify); err != nil {
			return fmt.Errorf("disk %s: %w", dev, err)
		}
	}
	return nil
}

// openAsIs opens the volumes of a replica; one that is not there, or holds
// something else, is an error.
func (l *Local) openAsIs(ctx context.Context, g host.Guest, epoch uint64) error {
	_, err := l.hold.KeepReplica(ctx, g, epoch, l.from, func(dev string) error {
		return fmt.Errorf("%w: the volume of %s does not hold the replica any more", ErrDiffers, dev)
	})
	if err != nil {
		return err
	}
	l.disks = make(map[string]*disk, len(g.Disks))
	for _, d := range g.Disks {
		if err := l.openDisk(ctx, d, false); err != nil {
			return fmt.Errorf("disk %s: %w", d.Dev, err)
		}
	}
	return nil
}

// holds proves that a volume holds a generation.
func (l *Local) holds(ctx context.Context, dev string, want blockcopy.Generation, sum string, verify bool) error {
	d := l.disks[dev]
	if d == nil || d.replica.Generation() != want {
		return fmt.Errorf("%w: it does not hold generation %s", ErrDiffers, want)
	}
	if !verify || sum == "" {
		return nil
	}
	got, err := blockcopy.Sum(ctx, d.device, d.device.Size())
	if err == nil && hex.EncodeToString(got[:]) != sum {
		err = fmt.Errorf("%w: SHA-256 is %x, not %s", ErrDiffers, got, sum)
	}
	return err
}
