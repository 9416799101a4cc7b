package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/guard"
	"github.com/xenhost/xenhost/xen/dom0"
)

const guarded = 1000 // guests in the large case

// benchGuard sends frames of the last guest through a bridge: with our guard
// for few and for many guests, and with a jump and a chain of rules for each
// guest, as ebtables scripts make them. Each is set against the bridge alone.
func benchGuard(ctx context.Context) ([]Row, error) {
	if os.Getuid() != 0 {
		return nil, errors.New("needs root, for network namespaces")
	}
	b := &bench{}
	defer b.clean()
	ns, err := b.namespace(ctx)
	if err != nil {
		return nil, err
	}
	l, err := newLane(ctx, ns)
	if err != nil {
		return nil, err
	}
	defer l.close()
	locks, err := os.MkdirTemp("", "bench-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(locks)
	g := guard.New(&guard.Options{NetNS: "/run/netns/" + ns, LockDir: locks})

	var cost [3]time.Duration // of 10 guests, 1,000 guests, 1,000 chains
	for i := range cost {
		cost[i] = time.Hour
	}
	for range 3 { // the best of three, in turns, so that a busy moment hits all alike
		for i, n := range []int{10, guarded} {
			if _, err := g.Apply(ctx, guard.State{Guests: guardedGuests(n)}); err != nil {
				return nil, err
			}
			took, err := l.frames(ctx)
			if err != nil {
				return nil, err
			}
			cost[i] = min(cost[i], took)
		}
		if _, err := g.Apply(ctx, guard.State{Open: true}); err != nil {
			return nil, err
		}
		if err := b.run(ctx, ns, strings.NewReader(chainForEach(guardedGuests(guarded))), "nft", "-f", "-"); err != nil {
			return nil, err
		}
		took, err := l.frames(ctx)
		if err != nil {
			return nil, err
		}
		cost[2] = min(cost[2], took)
		if err := b.run(ctx, ns, nil, "nft", "delete", "table", "bridge", "peer"); err != nil {
			return nil, err
		}
	}
	one := guardedGuests(1)[0]
	if _, err := g.Apply(ctx, guard.State{Guests: guardedGuests(guarded)}); err != nil {
		return nil, err
	}
	one.Ports[0].Addresses = append(one.Ports[0].Addresses, netip.AddrFrom4([4]byte{10, 8, 0, 1}))
	set, err := timed(func() error { return g.Set(ctx, one) })
	if err != nil {
		return nil, err
	}
	if _, err := g.Apply(ctx, guard.State{Open: true}); err != nil {
		return nil, err
	}
	load, err := timed(func() error {
		_, err := g.Apply(ctx, guard.State{Guests: guardedGuests(guarded)})
		return err
	})
	if err != nil {
		return nil, err
	}
	micro := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
	metric := fmt.Sprintf("a frame through the guard of %d guests, us", guarded)
	return []Row{
		compare("guard", metric, "a chain and a jump for each guest", micro(cost[1]), micro(cost[2]), 2),
		compare("guard", metric, "our guard of 10 guests", micro(cost[1]), micro(cost[0]), 0.8),
		compare("guard", fmt.Sprintf("change one of %d guests, s", guarded), "all of them loaded, s", set.Seconds(), load.Seconds(), 0),
	}, nil
}

// guardedGuests end with the one that sends.
func guardedGuests(n int) []guard.Guest {
	var all []guard.Guest
	for i := range n {
		id := uuid.UUID{15: 1}
		binary.BigEndian.PutUint32(id[:4], uint32(guarded-n+i))
		mac := network.MAC{0, 0x16, 0x3e, 0, byte((guarded - n + i) >> 8), byte(guarded - n + i)}
		all = append(all, guard.Guest{UUID: id, Ports: []guard.Port{{
			Vif: network.VifName(id, 0), MAC: mac, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 9, mac[4], mac[5]})},
		}}})
	}
	return all
}

func chainForEach(all []guard.Guest) string {
	var chains, jumps strings.Builder
	for i, g := range all {
		p := g.Ports[0]
		fmt.Fprintf(&chains, "chain g%d { ether saddr != %v drop; arp saddr ip != %v drop; ip saddr != %v drop; }\n", i, p.MAC, p.Addresses[0], p.Addresses[0])
		fmt.Fprintf(&jumps, "iifname %q jump g%d\n", p.Vif, i)
	}
	return fmt.Sprintf("table bridge peer {\n%schain in { type filter hook prerouting priority -300; policy accept;\n%s}\n}\n", &chains, &jumps)
}

// A lane is a bridge with the last guest's port and a port that frames leave by.
type lane struct {
	fd    int
	index int
	frame []byte
}

func newLane(ctx context.Context, name string) (*lane, error) {
	p := guardedGuests(1)[0].Ports[0]
	setup := fmt.Sprintf("link add lan type bridge\nlink set lan up\nlink add %s type veth peer name in\nlink set in address %v\nlink add out type veth peer name far\n"+
		"link set %s address fe:ff:ff:ff:ff:ff master lan up\nlink set out master lan up\nlink set in up\nlink set far up\n", p.Vif, p.MAC, p.Vif)
	if err := (dom0.Local{}).Run(ctx, dom0.Cmd{Args: []string{"ip", "-n", name, "-batch", "-"}, Stdin: strings.NewReader(setup)}); err != nil {
		return nil, err
	}
	ns, err := netns.GetFromName(name)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	link, err := h.LinkByName("in")
	if err != nil {
		return nil, err
	}
	sock, err := packetSocket(ns)
	if err != nil {
		return nil, err
	}
	source := p.Addresses[0].As4()
	frame := make([]byte, 64)
	copy(frame, []byte{2, 0, 0, 0, 0, 1})
	copy(frame[6:], p.MAC[:])
	copy(frame[12:], []byte{8, 0, 0x45, 0, 0, 50, 0, 0, 0, 0, 64, 17})
	copy(frame[26:], source[:])
	return &lane{fd: sock, index: link.Attrs().Index, frame: frame}, nil
}

func (l *lane) close() { _ = unix.Close(l.fd) }

// frames sends 50,000 frames and returns what one took.
func (l *lane) frames(ctx context.Context) (time.Duration, error) {
	const n = 50_000
	start := time.Now()
	for range n {
		if err := unix.Sendto(l.fd, l.frame, 0, &unix.SockaddrLinklayer{Ifindex: l.index}); err != nil {
			return 0, err
		}
	}
	return time.Since(start) / n, ctx.Err()
}

// packetSocket opens a socket for whole frames in a namespace; the thread that
// goes there ends with its goroutine.
func packetSocket(ns netns.NsHandle) (fd int, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err = netns.Set(ns); err == nil {
			fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		}
	}()
	<-done
	return fd, err
}
