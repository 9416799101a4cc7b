package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/accounting"
	"github.com/xenhost/xenhost/accounting/meter"
	"github.com/xenhost/xenhost/accounting/sqlite"
	"github.com/xenhost/xenhost/network"
)

const metered = 1000 // guests: 12,000 counters of ours, 6,000 of the peers

// benchAccounting reads the counters of a thousand guests, folds them into a
// ledger, and computes a month's percentile.
func benchAccounting(ctx context.Context) ([]Row, error) {
	if os.Getuid() != 0 {
		return nil, errors.New("needs root, for network namespaces")
	}
	b := &bench{}
	defer b.clean()
	dir, err := os.MkdirTemp("", "bench-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	reading, err := b.readings(ctx, dir)
	if err != nil {
		return nil, err
	}
	ledger, err := sqlite.Open(ctx, filepath.Join(dir, "ledger.db"), nil)
	if err != nil {
		return nil, err
	}
	defer ledger.Close()
	store, storeCPU, err := stored(ctx, ledger, reading.samples)
	if err != nil {
		return nil, err
	}
	one, all, err := percentiles(ctx, ledger)
	if err != nil {
		return nil, err
	}
	metric := fmt.Sprintf("read the counters of %d guests, CPU s", metered)
	return []Row{
		compare("accounting", metric, fmt.Sprintf("ip -s -j link show, a process a vif (%d, times %d)", sampled, metered/sampled), reading.ours, reading.each, 10),
		compare("accounting", metric, "iptables-save -c, 6,000 rules", reading.ours, reading.save, 1),
		compare("accounting", metric, "node_exporter, one scrape of netdev", reading.ours, reading.exporter, 1),
		compare("accounting", "read, fold and store, CPU s a minute", "vnstatd, once a minute, no classes", reading.ours+storeCPU, reading.vnstat, 1),
		compare("accounting", "fold and store a reading, s", "a fifth of a second", store, 0.2, 1),
		compare("accounting", fmt.Sprintf("a month's 95th percentile of %d guests, s", metered), "200 times that of one", all, 200*one, 1).
			ifMissed(fmt.Sprintf("one takes %.1f ms; each reads its own %d days", one*1000, 30)),
	}, nil
}

func meteredGuest(i int) uuid.UUID {
	return uuid.MustParse(fmt.Sprintf("%08x-0000-4000-8000-000000000001", i))
}

// cpu is the time that this process and those that it waited for have used.
func cpu() time.Duration {
	var sum time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var r unix.Rusage
		_ = unix.Getrusage(who, &r) // it fails for no valid who
		sum += time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	return sum
}

type readTimes struct {
	ours, each, save, exporter, vnstat float64
	samples                            []accounting.Sample
}

// readings times one reading of ours and of the peers, the best of three.
func (b *bench) readings(ctx context.Context, dir string) (t readTimes, err error) {
	ns, err := b.namespace(ctx)
	if err != nil {
		return t, err
	}
	var ports []meter.Port
	var links, rules strings.Builder
	rules.WriteString("*filter\n:METER - [0:0]\n")
	for i := range metered {
		p := meter.Port{Guest: meteredGuest(i), Dev: "0", Vif: network.VifName(meteredGuest(i), 0)}
		ports = append(ports, p)
		fmt.Fprintf(&links, "link add %s type ifb\n", p.Vif)
		for _, class := range []string{"10.0.0.0/8", "192.0.2.0/24", "0.0.0.0/0"} {
			fmt.Fprintf(&rules, "-A METER -m physdev --physdev-in %s -d %s\n-A METER -m physdev --physdev-out %[1]s -s %[2]s\n", p.Vif, class)
		}
	}
	rules.WriteString("COMMIT\n")
	if err := b.run(ctx, "", strings.NewReader(links.String()), "ip", "-n", ns, "-batch", "-"); err != nil {
		return t, err
	}
	if err := b.run(ctx, ns, strings.NewReader(rules.String()), "iptables-restore"); err != nil {
		return t, err
	}
	m := meter.New(&meter.Options{NetNS: "/run/netns/" + ns, LockDir: dir})
	best := func(into *float64, times float64, f func() error) error {
		before := cpu()
		err := f()
		if took := (cpu() - before).Seconds() * times; *into == 0 || took < *into {
			*into = took
		}
		return err
	}
	if _, err := m.Read(ctx, ports); err != nil {
		return t, err
	}
	for range 3 {
		err := errors.Join(
			best(&t.ours, 1, func() (err error) { t.samples, err = m.Read(ctx, ports); return err }),
			best(&t.save, 1, func() error { return b.run(ctx, ns, nil, "iptables-save", "-c") }),
			best(&t.each, metered/sampled, func() error {
				for _, p := range ports[:sampled] {
					if err := b.run(ctx, ns, nil, "ip", "-s", "-j", "link", "show", "dev", p.Vif); err != nil {
						return err
					}
				}
				return nil
			}))
		if err != nil {
			return t, err
		}
	}
	if t.exporter, err = b.nodeExporter(ctx, ns); err != nil {
		return t, err
	}
	t.vnstat, err = b.vnstat(ctx, ns, dir)
	return t, err
}

// stored times the fold of a reading in which all counters moved, the best of
// three, and its CPU time.
func stored(ctx context.Context, ledger *sqlite.Store, samples []accounting.Sample) (best, spent float64, err error) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for i := range 4 {
		for j := range samples {
			samples[j].Value += 1e6
		}
		r := accounting.Reading{Source: "bench", Boot: "b", Uptime: time.Duration(1+i) * time.Minute, Time: now.Add(time.Duration(i) * time.Minute), Samples: samples}
		before := cpu()
		took, err := timed(func() error { return ledger.Fold(ctx, r) })
		if err != nil {
			return 0, 0, err
		}
		if i > 0 && (best == 0 || took.Seconds() < best) { // the first only says where counters stand
			best, spent = took.Seconds(), (cpu() - before).Seconds()
		}
	}
	return best, spent, nil
}

// percentiles fills a month of all guests and times their statements: of one
// (the best of three), and of all on all CPUs.
func percentiles(ctx context.Context, ledger *sqlite.Store) (one, all float64, err error) {
	p := accounting.Period{Start: time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)}
	for g := range metered {
		parcel := accounting.Parcel{Host: "bench", Seq: uint64(g + 1)}
		for i := range p.Slots() {
			r := accounting.Row{Guest: meteredGuest(g), Start: p.Start.Add(time.Duration(i) * accounting.SlotLength)}
			r.Usage[accounting.ExternalIn4], r.Usage[accounting.ExternalOut4] = int64(i*7919%1e6)*1000, int64(i*104729%1e6)*1000
			r.Usage[accounting.CPU], r.Usage[accounting.Memory], r.Usage[accounting.Running] = 1e9, 1e8, 300_000
			parcel.Rows = append(parcel.Rows, r)
		}
		if _, err := ledger.Push(ctx, parcel); err != nil {
			return 0, 0, err
		}
	}
	state := func(g int) error {
		id := meteredGuest(g)
		_, err := accounting.NewStatement(id, p, accounting.Terms{}, p.End, ledger.Rows(ctx, accounting.Query{Guest: id, From: p.Start, To: p.End}))
		return err
	}
	for range 3 {
		took, err := timed(func() error { return state(1) })
		if err != nil {
			return 0, 0, err
		}
		if one == 0 || took.Seconds() < one {
			one = took.Seconds()
		}
	}
	took, err := timed(func() error {
		errs := make([]error, runtime.GOMAXPROCS(0))
		var wg sync.WaitGroup
		for w := range errs {
			wg.Go(func() {
				for g := w; g < metered && errs[w] == nil; g += len(errs) {
					errs[w] = state(g)
				}
			})
		}
		wg.Wait()
		return errors.Join(errs...)
	})
	return one, took.Seconds(), err
}
