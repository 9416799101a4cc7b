package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/xen/dom0"
)

// name of the bench's namespaces, but for the number.
const benchNS = "xenhost-bench-"

// namespace makes an empty one.
func (b *bench) namespace(ctx context.Context) (string, error) {
	b.count++
	name := fmt.Sprintf("%s%d-%d", benchNS, os.Getpid(), b.count)
	if err := b.run(ctx, "", nil, "ip", "netns", "add", name); err != nil {
		return "", err
	}
	b.undo = append(b.undo, func() { _ = b.run(context.WithoutCancel(ctx), "", nil, "ip", "netns", "del", name) })
	return name, nil
}

// last is the namespace that was made last.
func (b *bench) last() string { return fmt.Sprintf("%s%d-%d", benchNS, os.Getpid(), b.count) }

// run runs a command in a namespace; "" is this one.
func (b *bench) run(ctx context.Context, ns string, stdin io.Reader, argv ...string) error {
	_, err := b.output(ctx, ns, stdin, argv...)
	return err
}

func (b *bench) output(ctx context.Context, ns string, stdin io.Reader, argv ...string) (string, error) {
	if ns != "" {
		argv = append([]string{"ip", "netns", "exec", ns}, argv...)
	}
	var out limited
	err := dom0.Local{}.Run(ctx, dom0.Cmd{Args: argv, Stdin: stdin, Stdout: &out})
	return string(out), err
}

// limited collects what a command prints.
type limited []byte

// Write implements io.Writer.
func (l *limited) Write(p []byte) (int, error) {
	*l = append(*l, p...)
	return len(p), nil
}

// inside runs f on a thread in the namespace.
func inside(ns string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread dies with the goroutine
		there, err := netns.GetFromName(ns)
		if err == nil {
			err = errors.Join(netns.Set(there), there.Close())
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// guests have ten forwards each, of UDP and TCP.
func guests(n int) []network.Guest {
	var all []network.Guest
	for i := range n {
		at := address(i / 10)
		if i%10 == 0 {
			id := uuid.UUID{1, 0, byte(i / 10 >> 8), byte(i / 10), 0, 0, 0x40, 0, 0x80}
			all = append(all, network.Guest{UUID: id, Ports: []network.Port{{
				Vif: network.VifName(id, 0), Bridge: "xenint", MAC: network.MAC{0, 0x16, 0x3e, 0, byte(i / 10 >> 8), byte(i / 10)}, Addresses: []netip.Addr{at},
			}}})
		}
		g := &all[len(all)-1]
		g.Forwards = append(g.Forwards, network.Forward{Proto: network.TCP, Port: port(i), To: netip.AddrPortFrom(at, 80)})
	}
	return all
}

// address of a guest; they are all on one machine.
func address(guest int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 1, byte(guest >> 8), byte(guest)})
}

// port of forward i: spread over all of them, as customers choose them.
func port(i int) uint16 { return uint16(2000 + 6*i) }

// extra is the guest that comes and goes.
func extra() network.Guest {
	g := guests(1)[0]
	g.UUID[0] = 2
	g.Ports[0].Vif, g.Ports[0].MAC[0] = network.VifName(g.UUID, 0), 2
	g.Ports[0].Addresses[0] = netip.MustParseAddr("10.1.200.1")
	g.Forwards[0].Port, g.Forwards[0].To = 1999, netip.MustParseAddrPort("10.1.200.1:80")
	return g
}

func hostOf(guests []network.Guest) network.State {
	return network.State{
		Bridges: []network.Bridge{{Name: "xenint", Addresses: []netip.Prefix{netip.MustParsePrefix("10.1.255.254/16")}}},
		Guests:  guests,
	}
}

// median is the middle one of n runs, in seconds.
func median(n int, f func() error) (float64, error) {
	var all []float64
	for range n {
		s, err := seconds(f)
		if err != nil {
			return 0, err
		}
		all = append(all, s)
	}
	slices.Sort(all)
	return all[n/2], nil
}

// addRemove are the medians of five additions and removals in turn, and the
// processor time of an addition: of this process and those that it ran.
func addRemove(add, remove func() error) (a, r, cpu float64, err error) {
	var adds, removes, cpus []float64
	for range 5 {
		before := processor()
		s, err := seconds(add)
		if err != nil {
			return 0, 0, 0, err
		}
		adds, cpus = append(adds, s), append(cpus, processor()-before)
		if s, err = seconds(remove); err != nil {
			return 0, 0, 0, err
		}
		removes = append(removes, s)
	}
	for _, all := range [][]float64{adds, removes, cpus} {
		slices.Sort(all)
	}
	return adds[2], removes[2], cpus[2], nil
}

// processor is the time that this process and its children have computed.
func processor() float64 {
	sum := 0.0
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if unix.Getrusage(who, &u) == nil {
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
		}
	}
	return sum
}
