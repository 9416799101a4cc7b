package network

import (
	"errors"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// forget drops the tracked connections of forwards that are gone, so that a
// stream of UDP does not go on to its old guest:
//
//	conntrack -D -p udp --orig-port-dst 53 --reply-src 192.168.0.10
//
// A kernel that does not let us see them keeps them; they end by themselves.
func (k *kernel) forget(old, next State, log *slog.Logger) error {
	var filters []netlink.CustomConntrackFilter
	for _, g := range old.Guests {
		now, _ := next.Guest(g.UUID)
		for _, f := range g.Forwards {
			if slices.Contains(now.Forwards, f) {
				continue
			}
			filters = append(filters, flows(f))
		}
	}
	if len(filters) == 0 {
		return nil
	}
	n, err := dump(func() (uint, error) {
		return k.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, filters...)
	})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
		log.Info("network", "verb", "skip", "what", "forget old connections", "err", err)
		return nil
	}
	log.Info("network", "verb", "remove", "what", "old connections", "count", n)
	return err
}

// flows are the connections that came in by a forward.
type flows Forward

// MatchConntrackFlow implements netlink.CustomConntrackFilter. A connection to
// the guest's own address is not one that was forwarded.
func (f flows) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	number := uint8(unix.IPPROTO_TCP)
	if f.Proto == UDP {
		number = unix.IPPROTO_UDP
	}
	asked, _ := netip.AddrFromSlice(flow.Forward.DstIP)
	answers, _ := netip.AddrFromSlice(flow.Reverse.SrcIP)
	asked, answers = asked.Unmap(), answers.Unmap()
	return flow.Forward.Protocol == number && flow.Forward.DstPort == f.Port && asked != answers &&
		answers == f.To.Addr() && flow.Reverse.SrcPort == f.To.Port() && (!f.Listen.IsValid() || asked == f.Listen)
}
