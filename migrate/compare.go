package migrate

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// compare lets the target tell by hashes what it holds of a disk, and the source
// keep that for the copy that follows. It returns how many bytes that took.
func (m *move) compare(ctx context.Context, dev string) (asked int64, err error) {
	key, err := m.pair.Source.Compare(ctx, dev)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, w := io.Pipe()
	told := make(chan error, 1)
	out := &counter{w: m.pace.Writer(ctx, w)}
	go func() {
		err := m.pair.Target.Hashes(ctx, dev, key, out)
		w.CloseWithError(err) // nil is EOF, behind the last hash
		told <- err
	}()
	learnErr := m.pair.Source.Learn(ctx, dev, r)
	r.CloseWithError(errAccept) // ends the target
	err = <-told
	if learnErr != nil && err == nil || err != nil && learnErr != nil && quiet(err) {
		return out.done, learnErr
	}
	if err != nil {
		return out.done, fmt.Errorf("what %s holds: %w", m.plan.To, err)
	}
	return out.done, nil
}

// goesOn tells that a copy which a move left at the target, cut off from it, can
// be gone on with: what arrived need not come again.
func goesOn(g host.Guest, t handover.Seen) bool {
	return t.Record.State == owner.Receiving && t.Domain == nil && t.Guest != nil && slices.Equal(t.Guest.Disks, g.Disks)
}
