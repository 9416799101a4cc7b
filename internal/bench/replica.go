package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/lvm/lvmtest"
	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/replica"
	"github.com/xenhost/xenhost/network/networktest"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/xentest"
)

// benchReplica brings the replica of a guest up to date, by migrate's connection
// in this process, and the same volume with rsync and dd over a pipe: one percent
// changed at random, then nothing. Both ends count.
//
// The volumes are files. What the simulated LVM does to make a snapshot, and to
// know what changed, is left out: a real one makes it in 50 ms, and reads a table.
func (s sizes) benchReplica(ctx context.Context) (rows []Row, err error) {
	if len(s) == 0 {
		s = sizes{256 << 20}
	}
	for _, size := range s {
		r, err := benchNights(ctx, size)
		rows = append(rows, r...)
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

func benchNights(ctx context.Context, size int64) (rows []Row, err error) {
	dir, err := os.MkdirTemp("", "bench-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	n, err := newNights(ctx, dir, size)
	if err != nil {
		return nil, err
	}
	defer n.remote.Close()
	if _, err := n.ours(ctx, nil); err != nil { // the first copy
		return nil, err
	}
	if _, err := n.rsync(ctx, "rsync"); err != nil {
		return nil, err
	}
	for _, what := range []struct {
		name    string
		changed int64
	}{{"1 % at random", size / 100 / 4096 * 4096}, {"nothing changed", 0}} {
		r, err := n.night(ctx, what.name, what.changed)
		rows = append(rows, r...)
		if err != nil {
			return rows, err
		}
	}
	_, err = n.copy(ctx, &replica.Options{Verify: true}) // both ends are equal, or the rows are worth nothing
	return rows, err
}

// nights is a guest on curacao that islay keeps, and the same volume as src for
// the others.
type nights struct {
	copies
	volumes *tableLVM
	curacao *host.Host
	remote  *migrate.Remote
	guest   uuid.UUID
}

func newNights(ctx context.Context, dir string, size int64) (*nights, error) {
	n := &nights{copies: copies{dir: dir, size: size}}
	group := lvmtest.GroupSpec{Name: "guests", Size: 4 * size, Extent: 1 << 20}
	n.volumes = &tableLVM{Fake: lvmtest.New(filepath.Join(dir, "curacao"), group)}
	n.curacao = benchHost("curacao", dir, n.volumes)
	islay := benchHost("islay", dir, lvmtest.New(filepath.Join(dir, "islay"), group))
	disk := host.Disk{Dev: "xvda", Volume: lvm.ID{Group: "guests", Name: "web1"}, Size: size}
	g, err := n.curacao.Provision(ctx, host.Guest{Name: "web1", Memory: 64 << 20, Kernel: "/boot/vmlinuz", Disks: []host.Disk{disk}}, &host.ProvisionOptions{Stopped: true})
	if err != nil {
		return nil, err
	}
	n.guest = g.UUID
	v, err := n.volumes.Volume(ctx, disk.Volume)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(fill(n.path("data"), size), overwrite(n.path("data"), v.Path), os.Link(v.Path, n.path("src"))); err != nil {
		return nil, err
	}
	here, there := net.Pipe()
	go func() { _ = migrate.Serve(ctx, islay, there, nil) }() // ends with the connection
	n.remote, err = migrate.Dial(ctx, here, &migrate.DialOptions{Name: "curacao"})
	return n, err
}

func benchHost(name, dir string, volumes lvm.Manager) *host.Host {
	return host.New(host.Config{
		Name: name, Domains: xentest.New(nil), Volumes: volumes, Network: networktest.New(nil),
		StateDir: filepath.Join(dir, name+"-state"),
	})
}

// overwrite writes a file's content to another one that is there.
func overwrite(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(to, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(from))
}

// night measures three nights of each, and takes the best.
func (n *nights) night(ctx context.Context, what string, changed int64) ([]Row, error) {
	var ours, index, rsync, dd cost
	r := rand.New(rand.NewPCG(6, uint64(changed)))
	for i := range 3 {
		list, err := scatter(n.path("src"), n.size, changed, r)
		if err != nil {
			return nil, err
		}
		for _, one := range []struct {
			best *cost
			run  func() (cost, error)
		}{
			{&ours, func() (cost, error) { return n.ours(ctx, list) }},
			{&index, func() (cost, error) { return n.byIndex(ctx, r, changed) }},
			{&rsync, func() (cost, error) { return n.rsync(ctx, "rsync", "--ignore-times") }},
			{&dd, func() (cost, error) { return n.pipe(ctx, n.dd("src"), n.ddTo("dd")) }},
		} {
			c, err := one.run()
			if err != nil {
				return nil, err
			}
			if i == 0 || c.wall < one.best.wall {
				*one.best = c
			}
		}
	}
	dd.wire = float64(n.size)
	row := func(metric, peer string, ours, theirs, target float64) Row {
		return compare("replica", cli.Bytes(n.size)+", "+what+", "+metric, peer, ours, theirs, target)
	}
	rows := []Row{
		row("s", "rsync --inplace", ours.wall, rsync.wall, 1).ifMissed("a generation is synced to the disk several times, whatever its size"),
		row("s", "dd | dd", ours.wall, dd.wall, 0),
		row("CPU s", "rsync --inplace", ours.cpu, rsync.cpu, 5).ifMissed("the size is small: ours does not grow with it"),
		row("MiB on the wire", "rsync --inplace", ours.wire/mib, rsync.wire/mib, 1),
		row("MiB on the wire", "dd | dd", ours.wire/mib, dd.wire/mib, 20),
		row("index only, CPU s", "rsync --inplace", index.cpu, rsync.cpu, 0),
		row("index only, s", "rsync --inplace", index.wall, rsync.wall, 0),
	}
	if changed > 0 { // else its second run of the night had nothing to do
		rows = append(rows, row("MiB on the wire", "1.1 times what changed", ours.wire/mib, 1.1*float64(changed)/mib, 1))
	}
	return rows, nil
}

// ours is a run by the list of what changed.
func (n *nights) ours(ctx context.Context, list []lvm.Extent) (cost, error) {
	n.volumes.list, n.volumes.err = list, nil
	return n.run(ctx)
}

// byIndex is a run of a night in which no snapshot tells what changed.
func (n *nights) byIndex(ctx context.Context, r *rand.Rand, changed int64) (cost, error) {
	if _, err := scatter(n.path("src"), n.size, changed, r); err != nil {
		return cost{}, err
	}
	n.volumes.err = lvm.ErrSnapshotInvalid
	return n.run(ctx)
}

func (n *nights) run(ctx context.Context) (cost, error) {
	n.volumes.wall, n.volumes.cpu = 0, 0
	began, before := time.Now(), cpuNow()
	report, err := n.copy(ctx, nil)
	if err != nil {
		return cost{}, err
	}
	c := cost{wall: time.Since(began).Seconds() - n.volumes.wall, cpu: cpuNow() - before - n.volumes.cpu, wire: float64(report.Sent)}
	if len(report.Disks) != 1 || report.Generation == nil {
		return c, fmt.Errorf("replica: no generation: %+v", report)
	}
	return c, nil
}

func (n *nights) copy(ctx context.Context, opts *replica.Options) (replica.Report, error) {
	plan, err := replica.PlanCopy(ctx, n.curacao, n.remote, n.guest, opts)
	if err != nil {
		return replica.Report{}, err
	}
	return plan.Run(ctx)
}

// tableLVM is the simulated LVM with a table of what changed, as a real one has
// it; what the simulation takes is counted, to be left out.
type tableLVM struct {
	*lvmtest.Fake
	list      []lvm.Extent
	err       error
	wall, cpu float64
}

// Snapshot implements lvm.Maker.
func (t *tableLVM) Snapshot(ctx context.Context, origin lvm.ID, name string, opts *lvm.SnapshotOptions) (lvm.Volume, error) {
	began, before := time.Now(), cpuNow()
	v, err := t.Fake.Snapshot(ctx, origin, name, opts)
	t.wall, t.cpu = t.wall+time.Since(began).Seconds(), t.cpu+cpuNow()-before
	return v, err
}

// Changed implements lvm.Content.
func (t *tableLVM) Changed(context.Context, lvm.ID) ([]lvm.Extent, error) { return t.list, t.err }

// Fill implements lvm.Gauge.
func (t *tableLVM) Fill(context.Context, lvm.ID) (lvm.Fill, error) {
	return lvm.Fill{Size: 1}, nil
}

// Open implements lvm.Content. The simulation compares a snapshot with its
// origin first.
func (t *tableLVM) Open(ctx context.Context, id lvm.ID) (lvm.Device, error) {
	began, before := time.Now(), cpuNow()
	d, err := t.Fake.Open(ctx, id)
	t.wall, t.cpu = t.wall+time.Since(began).Seconds(), t.cpu+cpuNow()-before
	return d, err
}
