package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/shaping"
	"github.com/xenhost/xenhost/xen/dom0"
)

const (
	shaped  = 1000
	rounds  = 3
	sampled = 50 // guests that one process a command is timed for, and multiplied
)

// benchShaping limits vifs in both directions by package shaping, by tc and
// by CNI's plugin, on hosts with as many vifs. The peers make the queues and classes only; ours
// also notes which class is whose.
func benchShaping(ctx context.Context) ([]Row, error) {
	if os.Getuid() != 0 {
		return nil, errors.New("needs root, for network namespaces")
	}
	b := &bench{}
	defer b.clean()
	var ours, each, batch shapingTimes
	for range rounds { // by turns, so that what else the machine does meets both
		o, err := b.shapeOurs(ctx)
		if err != nil {
			return nil, err
		}
		e, a, err := b.shapeTC(ctx)
		if err != nil {
			return nil, err
		}
		ours, each, batch = ours.best(o), each.best(e), batch.best(a)
	}
	cni, err := b.shapeCNI(ctx)
	if err != nil {
		return nil, err
	}
	perVif := fmt.Sprintf("tc, a process a command (%d guests, times %d)", sampled, shaped/sampled)
	row := func(metric, peer string, a, b time.Duration, target float64) Row {
		return compare("shaping", fmt.Sprintf(metric, shaped), peer, a.Seconds(), b.Seconds(), target)
	}
	return []Row{
		row("limit %d guests, s", perVif, ours.first, each.first, 100),
		row("limit %d guests, s", "tc -batch", ours.first, batch.first, 1/1.3),
		row("limit %d guests, s", fmt.Sprintf("CNI bandwidth (%d guests, times %d)", sampled, shaped/sampled), ours.first, cni, 0),
		row("again, nothing new, of %d, s", "our first time", ours.again, ours.first, 5),
		row("again, nothing new, of %d, s", "tc -batch", ours.again, batch.again, 0),
		row("change one of %d, s", "one tc class change", ours.one, each.one, 10),
	}, nil
}

type shapingTimes struct{ first, again, one time.Duration }

// best is the shorter time of each kind: what is longer was somebody else's.
func (t shapingTimes) best(o shapingTimes) shapingTimes {
	if t == (shapingTimes{}) {
		return o
	}
	return shapingTimes{min(t.first, o.first), min(t.again, o.again), min(t.one, o.one)}
}

// street makes a namespace with an uplink and a vif for each guest.
func (b *bench) street(ctx context.Context) (ns string, err error) {
	if ns, err = b.namespace(ctx); err != nil {
		return "", err
	}
	var links strings.Builder
	fmt.Fprintln(&links, "link add eth0 type ifb\nlink set eth0 up")
	for i := range shaped {
		fmt.Fprintf(&links, "link add vif%d.0 type ifb\nlink set vif%d.0 up\n", i, i)
	}
	return ns, within(ctx, links.String(), "ip", "-n", ns, "-batch", "-")
}

// within runs a command in the namespace that the thread is in.
func within(ctx context.Context, stdin string, argv ...string) error {
	return dom0.Local{}.Run(ctx, dom0.Cmd{Args: argv, Stdin: strings.NewReader(stdin)})
}

func (b *bench) shapeOurs(ctx context.Context) (t shapingTimes, err error) {
	ns, err := b.street(ctx)
	if err != nil {
		return t, err
	}
	locks, err := os.MkdirTemp("", "bench-*")
	if err != nil {
		return t, err
	}
	defer os.RemoveAll(locks)
	m := shaping.New(&shaping.Options{NetNS: "/run/netns/" + ns, LockDir: locks})
	want := shaping.State{Uplink: shaping.Uplink{Dev: "eth0", Rate: 10 * shaping.Gbit}}
	for i := range shaped {
		want.Guests = append(want.Guests, shaping.Guest{
			UUID: uuid.New(), Vifs: []string{fmt.Sprintf("vif%d.0", i)},
			Policy: shaping.Policy{Download: 100 * shaping.Mbit, Upload: 5 * shaping.Mbit, Ceil: 100 * shaping.Mbit},
		})
	}
	apply := func() error {
		_, err := m.Apply(ctx, want)
		return err
	}
	if t.first, err = timed(apply); err != nil {
		return t, err
	}
	if t.again, err = timed(apply); err != nil {
		return t, err
	}
	one := want.Guests[shaped/2]
	mbit := 0
	seconds, err := median(20, func() error {
		mbit++
		one.Policy.Upload = shaping.Rate(mbit) * shaping.Mbit
		return m.Set(ctx, one)
	})
	t.one = time.Duration(seconds * float64(time.Second))
	return t, err
}

// shapeTC does the same by tc, each command a process, and all in one.
func (b *bench) shapeTC(ctx context.Context) (each, batch shapingTimes, err error) {
	ns, err := b.street(ctx)
	if err != nil {
		return each, batch, err
	}
	err = inside(ns, func() (err error) {
		each, batch, err = shapeTCHere(ctx)
		return err
	})
	return each, batch, err
}

func shapeTCHere(ctx context.Context) (each, batch shapingTimes, err error) {
	root := "qdisc add dev eth0 root handle 5651: htb default fffe\n" +
		"class add dev eth0 parent 5651: classid 5651:ffff htb rate 10gbit burst 4mb cburst 4mb\n" +
		"class add dev eth0 parent 5651:ffff classid 5651:fffe htb rate 1gbit ceil 10gbit burst 500kb cburst 4mb\n"
	if err := within(ctx, root, "tc", "-batch", "-"); err != nil {
		return each, batch, err
	}
	class := func(i, mbit int) string {
		return fmt.Sprintf("class replace dev eth0 parent 5651:ffff classid 5651:%x htb rate %dmbit ceil 100mbit burst 72kb cburst 72kb quantum 60000", i+1, mbit)
	}
	guest := func(i int) []string {
		return []string{
			fmt.Sprintf("qdisc replace dev vif%d.0 root handle 5650: tbf rate 100mbit burst 72kb latency 50ms", i),
			class(i, 5),
			fmt.Sprintf("qdisc replace dev eth0 parent 5651:%x handle %x: bfifo limit 700kb", i+1, i+1),
		}
	}
	took, err := timed(func() error {
		for i := range sampled {
			for _, line := range guest(i) {
				if err := within(ctx, "", append([]string{"tc"}, strings.Fields(line)...)...); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return each, batch, err
	}
	each.first = took * shaped / sampled
	var all strings.Builder
	for i := range shaped {
		fmt.Fprintln(&all, strings.Join(guest(i), "\n"))
	}
	for i := range sampled { // so that the batch makes all of them too
		line := fmt.Sprintf("class del dev eth0 classid 5651:%x\nqdisc del dev vif%d.0 root\n", i+1, i)
		if err := within(ctx, line, "tc", "-batch", "-"); err != nil {
			return each, batch, err
		}
	}
	load := func() error { return within(ctx, all.String(), "tc", "-batch", "-") }
	if batch.first, err = timed(load); err != nil {
		return each, batch, err
	}
	if batch.again, err = timed(load); err != nil {
		return each, batch, err
	}
	mbit := 0
	seconds, err := median(20, func() error {
		mbit++
		return within(ctx, "", append([]string{"tc"}, strings.Fields(class(shaped/2, mbit))...)...)
	})
	each.one = time.Duration(seconds * float64(time.Second))
	return each, batch, err
}
