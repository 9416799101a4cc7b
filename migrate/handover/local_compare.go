package handover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// Compare implements Source. The index lies in the hold's scratch folder.
func (l *Local) Compare(ctx context.Context, dev string) (key [32]byte, err error) {
	if err := l.must(owner.Prepared); err != nil {
		return key, err
	}
	if err := l.forget(); err != nil {
		return key, err
	}
	d, err := l.disk(dev)
	if err != nil {
		return key, err
	}
	dir, err := l.hold.Scratch()
	if err != nil {
		return key, err
	}
	x, err := blockcopy.OpenIndex(filepath.Join(dir, "known"), d.Size)
	if err != nil {
		return key, err
	}
	l.known = map[string]*blockcopy.Index{dev: x}
	return x.Key(), ctx.Err()
}

// Learn implements Source.
func (l *Local) Learn(_ context.Context, dev string, r io.Reader) error {
	x, ok := l.known[dev]
	if !ok {
		return fmt.Errorf("%w: nothing was asked about disk %q under this hold", lvm.ErrInvalid, dev)
	}
	return x.Learn(r, blockcopy.Generation{})
}

// draft is for the first Send of a disk after Learn; nil if there was none.
func (l *Local) draft(dev string, t blockcopy.Transfer) (*blockcopy.Draft, error) {
	x, ok := l.known[dev]
	if !ok {
		return nil, nil
	}
	return x.Draft(t)
}

// forget drops what the target said that it has.
func (l *Local) forget() error {
	var errs []error
	for _, x := range l.known {
		errs = append(errs, x.Close())
	}
	l.known = nil
	return errors.Join(errs...)
}

// Hashes implements Target.
func (l *Local) Hashes(ctx context.Context, dev string, key [32]byte, w io.Writer) error {
	if err := l.must(owner.Receiving); err != nil {
		return err
	}
	device, err := l.received(ctx, dev)
	if err != nil {
		return err
	}
	return blockcopy.Hashes(ctx, w, device, device.Size(), key)
}
