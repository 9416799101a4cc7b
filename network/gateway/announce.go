package gateway

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/xenhost/xenhost/internal/ether"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/internal/neighbour"
)

// AnnounceOptions change how Announce works; nil is right for a dom0.
type AnnounceOptions struct {
	// Times is how often each address is announced; 0 is 3.
	Times int
	// Pause between two rounds; 0 is 200 ms.
	Pause time.Duration
	// NetNS is the path of the network namespace; empty is the process's.
	NetNS string
}

// Announce tells everybody on a guest's bridges that its addresses are here
// now, with its MACs: gratuitous ARP for IPv4, unsolicited neighbour
// advertisements for IPv6. Switches learn the way from the frames' sender. Call
// it after a move, when the guest is plugged in.
//
// A guest without addresses is announced by its link-local IPv6 address, for
// the switches. Addresses of a routed guest are announced on its uplink, as
// this host's.
func Announce(ctx context.Context, g network.Guest, opts *AnnounceOptions) error {
	var o AnnounceOptions
	if opts != nil {
		o = *opts
	}
	if o.Times == 0 {
		o.Times = 3
	}
	if o.Pause == 0 {
		o.Pause = 200 * time.Millisecond
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // it may go to another namespace: never unlocked, the thread ends with the goroutine
		done <- announce(ctx, g, o)
	}()
	if err := <-done; err != nil {
		return fmt.Errorf("gateway: announce %v: %w", g.UUID, err)
	}
	return nil
}

func announce(ctx context.Context, g network.Guest, o AnnounceOptions) error {
	if o.NetNS != "" {
		ns, err := netns.GetFromPath(o.NetNS)
		if err != nil {
			return fmt.Errorf("network namespace %s: %w", o.NetNS, err)
		}
		defer func() { _ = ns.Close() }()
		if err := netns.Set(ns); err != nil {
			return fmt.Errorf("network namespace %s: %w", o.NetNS, err)
		}
	}
	for round := range o.Times {
		if round > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(o.Pause):
			}
		}
		for _, p := range g.Ports {
			if err := announcePort(p); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// announcePort tells the guest's bridge that the guest is there, or the network
// of a routed guest's uplink that this host answers for it.
func announcePort(p network.Port) error {
	on, mac, addresses := p.Bridge, p.MAC, p.Addresses
	switch {
	case p.Routed && p.Uplink == "":
		return nil // its addresses are routed to this host, nobody asks for them
	case p.Routed:
		on = p.Uplink
	case len(addresses) == 0:
		addresses = []netip.Addr{neighbour.LinkLocal(p.MAC)}
	}
	link, err := netlink.LinkByName(on)
	if err != nil {
		return fmt.Errorf("interface %s: %w", on, err)
	}
	if p.Routed {
		if mac, err = ether.Parse(link.Attrs().HardwareAddr.String()); err != nil {
			return fmt.Errorf("interface %s: %w", on, err)
		}
	}
	if err := neighbour.Announce(link.Attrs().Index, mac, addresses); err != nil {
		return fmt.Errorf("on %s: %w", on, err)
	}
	return nil
}
