package replica

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/xen/host"
)

// disk brings one disk of the run to the peer, unless it is there already.
func (r *run) disk(ctx context.Context, d host.Disk, there HeldDisk) error {
	sent, err := r.memory.arrived(d.Dev, d.Size, there)
	if err != nil {
		return err
	}
	if sent == (blockcopy.Generation{}) {
		if sent, err = r.send(ctx, d, there); err != nil {
			return err
		}
	}
	r.memory.Now.Disks[d.Dev] = sent
	return r.memory.save()
}

func (r *run) send(ctx context.Context, d host.Disk, there HeldDisk) (blockcopy.Generation, error) {
	var none blockcopy.Generation
	grown, err := r.memory.fits(d.Dev, d.Size)
	if err != nil {
		return none, err
	}
	if grown {
		r.note("%s has grown: %s is asked what it has", d.Dev, r.To)
	}
	opts := &blockcopy.PushOptions{Index: r.memory.index(d.Dev), Fresh: there.Fresh, Frozen: true}
	if r.opts.Progress != nil {
		opts.Progress = func(p blockcopy.Progress) {
			r.opts.Progress(Event{Guest: r.Guest.UUID, Name: r.Guest.Name, Dev: d.Dev, Progress: p})
		}
	}
	if err := r.changes(ctx, d, opts); err != nil {
		return none, err
	}
	report, err := r.push(ctx, d, opts)
	if errors.Is(err, blockcopy.ErrBase) {
		// The index is of a generation that the peer does not hold: a run was
		// dropped there after its disk had arrived, or its volume was lost.
		r.note("%s: the index does not fit, %s is asked what it has", d.Dev, r.To)
		if err := r.memory.unlearn(d.Dev); err != nil {
			return none, err
		}
		opts.Changes = nil
		report, err = r.push(ctx, d, opts)
	}
	if err != nil {
		return none, err
	}
	return report.Generation, nil
}

// changes says what to look at, where the snapshot of the last generation
// knows. It is asked after the new one was made, so nothing is missed.
func (r *run) changes(ctx context.Context, d host.Disk, opts *blockcopy.PushOptions) error {
	if _, ok := r.memory.Last.disk(d.Dev); !ok {
		return nil
	}
	changed, since, err := changes(ctx, r.host, r.Guest.UUID, r.memory.Last, r.To, d.Dev)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		r.note("%s is read as a whole: %v", d.Dev, err)
		return nil
	}
	opts.Changes, opts.Since = blockcopy.Extents(changed), since
	return nil
}

func (r *run) push(ctx context.Context, d host.Disk, opts *blockcopy.PushOptions) (report blockcopy.Report, err error) {
	device, err := r.host.Volumes().Open(ctx, r.snapshotOf(d))
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, device.Close()) }()
	conn, err := r.keeper.Push(ctx, d.Dev)
	if err != nil {
		return report, err
	}
	if r.opts.Limit != nil {
		conn = paced{conn, r.opts.Limit.pace.Writer(ctx, conn)}
	}
	report, err = blockcopy.Push(ctx, conn, device, d.Dev, opts)
	r.report.Sent += report.Sent
	if err == nil {
		r.report.Disks = append(r.report.Disks, DiskReport{d.Dev, report})
	}
	return report, err
}

// paced is a connection whose writes wait for a limit.
type paced struct {
	io.ReadWriteCloser
	to io.Writer
}

// Write implements io.Writer.
func (c paced) Write(p []byte) (int, error) { return c.to.Write(p) }

func (r *run) note(format string, a ...any) {
	r.report.Notes = append(r.report.Notes, fmt.Sprintf(format, a...))
}
