package clone_test

import (
	"context"
	"testing"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/guard"
	"github.com/xenhost/xenhost/network/island"
	"github.com/xenhost/xenhost/xen"
)

// plug kills the caller at a step: before or after it is done. What was done
// stays, and nothing is taken back, as when a process is killed.
type plug struct {
	steps int // counted
	kill  int // the step to die at; 0 is never
	after bool
}

type pulled struct{}

func (p *plug) step(do func() error) error {
	p.steps++
	if p.steps == p.kill && !p.after {
		panic(pulled{})
	}
	err := do()
	if p.steps == p.kill {
		panic(pulled{})
	}
	return err
}

// dies tells whether f was killed.
func dies(t *testing.T, f func()) (dead bool) {
	t.Helper()
	defer func() {
		switch r := recover(); r.(type) {
		case nil:
		case pulled:
			dead = true
		default:
			panic(r)
		}
	}()
	f()
	return false
}

type domains struct {
	xen.Domains
	p *plug
}

func (d domains) Create(ctx context.Context, s xen.Spec, o *xen.CreateOptions) (out xen.Domain, err error) {
	err = d.p.step(func() (err error) { out, err = d.Domains.Create(ctx, s, o); return })
	return
}

func (d domains) Shutdown(ctx context.Context, id uuid.UUID, o *xen.ShutdownOptions) (how xen.Ending, err error) {
	err = d.p.step(func() (err error) { how, err = d.Domains.Shutdown(ctx, id, o); return })
	return
}

func (d domains) Destroy(ctx context.Context, id uuid.UUID) error {
	return d.p.step(func() error { return d.Domains.Destroy(ctx, id) })
}

type volumes struct {
	lvm.Manager
	p *plug
}

func (v volumes) Snapshot(ctx context.Context, o lvm.ID, name string, opts *lvm.SnapshotOptions) (out lvm.Volume, err error) {
	err = v.p.step(func() (err error) { out, err = v.Manager.Snapshot(ctx, o, name, opts); return })
	return
}

func (v volumes) Remove(ctx context.Context, id lvm.ID) error {
	return v.p.step(func() error { return v.Manager.Remove(ctx, id) })
}

func (v volumes) Tag(ctx context.Context, id lvm.ID, add, remove []string) error {
	return v.p.step(func() error { return v.Manager.Tag(ctx, id, add, remove) })
}

func (v volumes) Merge(ctx context.Context, id lvm.ID) (out lvm.Volume, err error) {
	err = v.p.step(func() (err error) { out, err = v.Manager.Merge(ctx, id); return })
	return
}

func (v volumes) Rename(ctx context.Context, id lvm.ID, name string) (out lvm.Volume, err error) {
	err = v.p.step(func() (err error) { out, err = v.Manager.Rename(ctx, id, name); return })
	return
}

type wires struct {
	network.Manager
	p *plug
}

func (w wires) Set(ctx context.Context, g network.Guest) error {
	return w.p.step(func() error { return w.Manager.Set(ctx, g) })
}

func (w wires) Remove(ctx context.Context, id uuid.UUID) error {
	return w.p.step(func() error { return w.Manager.Remove(ctx, id) })
}

type guards struct {
	guard.Manager
	p *plug
}

func (g guards) Set(ctx context.Context, one guard.Guest) error {
	return g.p.step(func() error { return g.Manager.Set(ctx, one) })
}

func (g guards) Remove(ctx context.Context, id uuid.UUID) error {
	return g.p.step(func() error { return g.Manager.Remove(ctx, id) })
}

type islands struct {
	island.Manager
	p *plug
}

func (i islands) Set(ctx context.Context, one island.Island) error {
	return i.p.step(func() error { return i.Manager.Set(ctx, one) })
}

func (i islands) Remove(ctx context.Context, id uuid.UUID) error {
	return i.p.step(func() error { return i.Manager.Remove(ctx, id) })
}
