package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/xen/dom0"
)

// benchNetwork loads and changes forwards by package network, on both of its
// firewalls, and by what one would otherwise use, each in a namespace of its
// own on the same kernel; then it sends packets through them.
//
// The two loops of one command a rule would take many minutes for 10,000: they
// are timed at several sizes of the table and summed up. So is CNI portmap with
// iptables, for guests of ten ports.
func benchNetwork(ctx context.Context) ([]Row, error) {
	if os.Getuid() != 0 {
		return nil, errors.New("needs root, for network namespaces")
	}
	b := &bench{}
	defer b.clean()
	for _, part := range []func(context.Context) error{b.control, b.nothing, b.flows, b.swap} {
		if err := part(ctx); err != nil {
			return b.rows, err
		}
	}
	return b.rows, nil
}

// bench collects rows and what is to be cleaned up.
type bench struct {
	rows  []Row
	undo  []func()
	count int // of namespaces

	container string // a namespace, for the peers that want one
}

func (b *bench) clean() {
	for i := len(b.undo) - 1; i >= 0; i-- {
		b.undo[i]()
	}
	b.undo = nil
}

func (b *bench) row(metric, peerName string, ours, peer, target float64) {
	b.rows = append(b.rows, compare("network", metric, peerName, ours, peer, target))
}

const (
	most     = 10000
	iptables = network.IPTablesNFT
)

// timing is what one way of keeping forwards costs, in seconds.
type timing struct {
	load        map[int]float64 // by their number
	add, remove float64         // one, at 10,000
	cpu         float64         // processor time of add
}

// control compares what changes cost.
func (b *bench) control(ctx context.Context) error {
	ours, fresh := map[string]timing{}, map[string]timing{}
	for _, firewall := range []string{iptables, network.NFT} {
		var err error
		if ours[firewall], fresh[firewall], err = b.ours(ctx, firewall); err != nil {
			return fmt.Errorf("%s: %w", firewall, err)
		}
	}
	for _, p := range []struct {
		name, ours     string
		measure        func(context.Context) (timing, error)
		load, add, one float64 // targets: load of 10,000, add one, remove one
	}{
		{"iptables in a loop", iptables, b.iptablesLoop, 0, 0, 0},
		{"go-iptables AppendUnique", iptables, b.goIPTables, 500, 0, 0},
		{"CNI portmap, iptables", iptables, b.cniIPTables, 100, 5, 0},
		{"CNI portmap, nftables", network.NFT, b.cniNFT, 0, 5, 0},
	} {
		peer, err := p.measure(ctx)
		if errors.Is(err, errors.ErrUnsupported) {
			fmt.Fprintln(os.Stderr, "bench: left out:", err)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		o, f := ours[p.ours], fresh[p.ours]
		for _, n := range []int{100, 1000, most} {
			target := 0.0
			if n == most {
				target = p.load
			}
			b.row(fmt.Sprintf("load %d by %s, s", n, p.ours), p.name, o.load[n], peer.load[n], target)
		}
		b.row(fmt.Sprintf("add one to %d by %s, s", most, p.ours), p.name, o.add, peer.add, p.add)
		b.row(fmt.Sprintf("add one to %d by %s, processor time, s", most, p.ours), p.name, o.cpu, peer.cpu, 0)
		b.row(fmt.Sprintf("remove one of %d by %s, s", most, p.ours), p.name, o.remove, peer.remove, p.one)
		b.row(fmt.Sprintf("add one to %d by %s in a new process, s", most, p.ours), p.name, f.add, peer.add, 0)
	}
	return nil
}

// ours measures package network: by a process that stays, and by one that has
// to read all rules first.
func (b *bench) ours(ctx context.Context, firewall string) (stays, fresh timing, err error) {
	stays.load = map[int]float64{}
	for _, n := range []int{100, 1000, most} {
		m, err := b.manager(ctx, firewall)
		if err != nil {
			return stays, fresh, err
		}
		want := hostOf(guests(n))
		if stays.load[n], err = seconds(func() error { _, err := m().Apply(ctx, want); return err }); err != nil {
			return stays, fresh, err
		}
		if n < most {
			continue
		}
		one := extra()
		resident := m()
		if err := resident.Set(ctx, one); err != nil { // reads once
			return stays, fresh, err
		}
		if err := resident.Remove(ctx, one.UUID); err != nil {
			return stays, fresh, err
		}
		stays.add, stays.remove, stays.cpu, err = addRemove(
			func() error { return resident.Set(ctx, one) }, func() error { return resident.Remove(ctx, one.UUID) })
		if err != nil {
			return stays, fresh, err
		}
		fresh.add, fresh.remove, fresh.cpu, err = addRemove(
			func() error { return m().Set(ctx, one) }, func() error { return m().Remove(ctx, one.UUID) })
		if err != nil {
			return stays, fresh, err
		}
	}
	return stays, fresh, nil
}

// nothing compares what it costs to find that there is nothing to do.
func (b *bench) nothing(ctx context.Context) error {
	for _, firewall := range []string{iptables, network.NFT} {
		m, err := b.manager(ctx, firewall)
		if err != nil {
			return err
		}
		want := hostOf(guests(most))
		resident := m()
		if _, err := resident.Apply(ctx, want); err != nil {
			return err
		}
		again := func(l func() *network.Linux) (float64, error) {
			return median(5, func() error {
				plan, err := l().Apply(ctx, want)
				if err == nil && !plan.Empty() {
					err = errors.New("there was something to do: " + plan.Steps[0].What)
				}
				return err
			})
		}
		marker, err := again(func() *network.Linux { return resident })
		if err != nil {
			return err
		}
		full, err := again(m)
		if err != nil {
			return err
		}
		peer, name, err := b.listing(ctx, firewall)
		if err != nil {
			return err
		}
		b.row(fmt.Sprintf("nothing changed at %d, %s, by the kernel's generation, s", most, firewall), name, marker, peer, 0)
		b.row(fmt.Sprintf("nothing changed at %d, %s, all rules read and compared, s", most, firewall), name, full, peer, 0)
	}
	return nil
}

// listing times the tool's own listing of the forwards that are there, which
// whoever compares must do at least.
func (b *bench) listing(ctx context.Context, firewall string) (float64, string, error) {
	argv := []string{"iptables-nft-save"}
	if firewall == network.NFT {
		argv = []string{"nft", "list", "ruleset"}
	}
	s, err := median(5, func() error { return b.run(ctx, b.last(), nil, argv...) })
	return s, argv[0] + " alone", err
}

func seconds(f func() error) (float64, error) {
	start := time.Now()
	err := f()
	return time.Since(start).Seconds(), err
}

// manager makes an empty host and returns a maker of managers of it: each is
// like a new process.
func (b *bench) manager(ctx context.Context, firewall string) (func() *network.Linux, error) {
	ns, err := b.namespace(ctx)
	if err != nil {
		return nil, err
	}
	locks, err := os.MkdirTemp("", "bench-*")
	if err != nil {
		return nil, err
	}
	b.undo = append(b.undo, func() { _ = os.RemoveAll(locks) })
	return func() *network.Linux {
		return network.New(&network.Options{Runner: dom0.Local{}, NetNS: "/run/netns/" + ns, LockDir: locks, Firewall: firewall})
	}, nil
}
