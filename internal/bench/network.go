package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"time"

	"github.com/coreos/go-iptables/iptables"
	"github.com/google/uuid"
	"github.com/vishvananda/netns"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/xen/dom0"
)

const (
	benchNS  = "xenhost-bench"
	forwards = 1000
)

// benchNetwork loads forwards by package network and by go-iptables, a rule a
// call, each in a network namespace of its own on the same kernel.
func benchNetwork(ctx context.Context) ([]Row, error) {
	if os.Getuid() != 0 {
		return nil, errors.New("needs root, for network namespaces")
	}
	ours, err := loadOurs(ctx)
	if err != nil {
		return nil, err
	}
	peer, err := loadPeer(ctx)
	if err != nil {
		return nil, err
	}
	const name = "go-iptables AppendUnique"
	return []Row{
		compare("network", fmt.Sprintf("load %d forwards, s", forwards), name, ours.load.Seconds(), peer.load.Seconds(), 50),
		compare("network", fmt.Sprintf("add one to %d, s", forwards), name, ours.one.Seconds(), peer.one.Seconds(), 0),
		compare("network", fmt.Sprintf("remove one of %d, s", forwards), name, ours.remove.Seconds(), peer.remove.Seconds(), 0),
	}, nil
}

type timing struct{ load, one, remove time.Duration }

func timed(f func() error) (time.Duration, error) {
	start := time.Now()
	err := f()
	return time.Since(start), err
}

// inside runs argv in the namespace.
type inside struct{ dom0.Runner }

func (r inside) Run(ctx context.Context, cmd dom0.Cmd) error {
	cmd.Args = append([]string{"ip", "netns", "exec", benchNS}, cmd.Args...)
	return r.Runner.Run(ctx, cmd)
}

// newNamespace makes an empty namespace and returns what removes it.
func newNamespace(ctx context.Context) (remove func(), err error) {
	run := func(ctx context.Context, argv ...string) error {
		_, err := dom0.Output(ctx, dom0.Local{}, argv...)
		return err
	}
	if err := run(ctx, "ip", "netns", "add", benchNS); err != nil {
		return nil, err
	}
	return func() { _ = run(context.WithoutCancel(ctx), "ip", "netns", "del", benchNS) }, nil
}

// enter puts this thread, and the processes that it starts, into the namespace
// until leave is called.
func enter() (leave func() error, err error) {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	leave = func() error {
		defer runtime.UnlockOSThread()
		return errors.Join(netns.Set(home), home.Close())
	}
	there, err := netns.GetFromName(benchNS)
	if err == nil {
		err = errors.Join(netns.Set(there), there.Close())
	}
	if err != nil {
		return nil, errors.Join(err, leave())
	}
	return leave, nil
}

// guests have ten forwards each.
func guests(n int) []network.Guest {
	var all []network.Guest
	for i := range n {
		at := netip.AddrFrom4([4]byte{10, 0, byte(i / 10 >> 8), byte(i / 10)})
		if i%10 == 0 {
			id := uuid.New()
			all = append(all, network.Guest{UUID: id, Ports: []network.Port{{
				Vif: network.VifName(id, 0), Bridge: "xenint", MAC: network.MAC{0, 0x16, 0x3e, 0, byte(i / 10 >> 8), byte(i / 10)}, Addresses: []netip.Addr{at},
			}}})
		}
		g := &all[len(all)-1]
		g.Forwards = append(g.Forwards, network.Forward{Proto: network.TCP, Port: uint16(10000 + i), To: netip.AddrPortFrom(at, 80)})
	}
	return all
}

func loadOurs(ctx context.Context) (t timing, err error) {
	remove, err := newNamespace(ctx)
	if err != nil {
		return t, err
	}
	defer remove()
	locks, err := os.MkdirTemp("", "bench-*")
	if err != nil {
		return t, err
	}
	defer os.RemoveAll(locks)
	m := network.New(&network.Options{Runner: inside{dom0.Local{}}, NetNS: "/run/netns/" + benchNS, LockDir: locks})
	all := guests(forwards + 10)
	if t.load, err = timed(func() error {
		_, err := m.Apply(ctx, network.State{Bridges: []network.Bridge{{Name: "xenint"}}, Guests: all[:len(all)-1]})
		return err
	}); err != nil {
		return t, err
	}
	last := all[len(all)-1]
	last.Forwards = last.Forwards[:1]
	if t.one, err = timed(func() error { return m.Set(ctx, last) }); err != nil {
		return t, err
	}
	t.remove, err = timed(func() error { return m.Remove(ctx, last.UUID) })
	return t, err
}

func loadPeer(ctx context.Context) (t timing, err error) {
	remove, err := newNamespace(ctx)
	if err != nil {
		return t, err
	}
	defer remove()
	// go-iptables has no namespace option.
	leave, err := enter()
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, leave()) }()
	ipt, err := iptables.New(iptables.Timeout(5))
	if err != nil {
		return t, err
	}
	if err := ipt.NewChain("nat", "PEER"); err != nil {
		return t, err
	}
	rule := func(i int) []string {
		return []string{"-p", "tcp", "--dport", fmt.Sprint(10000 + i), "-j", "DNAT", "--to-destination", fmt.Sprintf("10.0.%d.%d:80", i/10>>8, i/10&255)}
	}
	if t.load, err = timed(func() error {
		for i := range forwards {
			if err := errors.Join(ctx.Err(), ipt.AppendUnique("nat", "PEER", rule(i)...)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return t, err
	}
	if t.one, err = timed(func() error { return ipt.AppendUnique("nat", "PEER", rule(forwards)...) }); err != nil {
		return t, err
	}
	t.remove, err = timed(func() error { return ipt.Delete("nat", "PEER", rule(forwards)...) })
	return t, err
}
