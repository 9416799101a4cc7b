package network

import (
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"strings"

	"github.com/google/uuid"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// forget drops the tracked connections that a change leaves behind: of forwards
// that are gone, so that a stream does not go on to its old guest, and those of
// UDP that reached dom0 itself where there is a forward now:
//
//	conntrack -D -p udp --orig-port-dst 53 --reply-src 192.168.0.10
//
// A kernel that does not let us see them keeps them; they end by themselves.
func (k *kernel) forget(old []Guest, next map[uuid.UUID]Guest, log *slog.Logger) error {
	s, err := k.staleAfter(old, next)
	if err != nil {
		return err
	}
	for _, f := range families() {
		if !s.families[f] || nothingTracked() {
			continue
		}
		n, err := dump(func() (uint, error) {
			return k.ConntrackDeleteFilters(netlink.ConntrackTable, netlink.InetFamily(inet(f)), s)
		})
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
			log.Info("network", "verb", "skip", "what", "forget old connections", "err", err)
			continue
		}
		if err != nil {
			return err
		}
		log.Info("network", "verb", "remove", "what", "old connections", "count", n)
	}
	return nil
}

// nothingTracked reports whether the namespace has no connections at all, so
// that there is no need to walk through the kernel's table, which all
// namespaces share.
func nothingTracked() bool {
	b, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_count")
	return err == nil && strings.TrimSpace(string(b)) == "0"
}

func inet(f family) int {
	if f == v6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// stale finds connections by the port that was asked for. It is a
// netlink.CustomConntrackFilter.
type stale struct {
	families map[family]bool
	gone     map[service][]Forward
	whole    map[netip.Addr]Forward
	came     map[service][]Forward
	own      map[netip.Addr]netip.Prefix // addresses of the host
}

func (k *kernel) staleAfter(old []Guest, next map[uuid.UUID]Guest) (*stale, error) {
	s := &stale{map[family]bool{}, map[service][]Forward{}, map[netip.Addr]Forward{}, map[service][]Forward{}, nil}
	had := map[uuid.UUID]map[Forward]bool{}
	for _, g := range old {
		has := map[Forward]bool{}
		for _, f := range next[g.UUID].Forwards {
			has[f] = true
		}
		had[g.UUID] = map[Forward]bool{}
		for _, f := range g.Forwards {
			had[g.UUID][f] = true
			if !has[f] {
				s.add(s.gone, f)
			}
		}
	}
	for id, g := range next {
		for _, f := range g.Forwards {
			if f.Proto == UDP && !had[id][f] {
				s.add(s.came, f)
			}
		}
	}
	if len(s.came) == 0 {
		return s, nil
	}
	var err error
	s.own, err = k.addresses()
	return s, err
}

func (s *stale) add(to map[service][]Forward, f Forward) {
	s.families[f.family()] = true
	if f.Proto == All {
		s.whole[f.Listen] = f
		return
	}
	for port := int(f.Port); port <= int(f.last()); port++ {
		key := service{f.family(), f.Proto, uint16(port)}
		to[key] = append(to[key], f)
	}
}

// MatchConntrackFlow implements netlink.CustomConntrackFilter. A connection to
// the guest's own address is not one that was forwarded.
func (s *stale) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	asked, _ := netip.AddrFromSlice(flow.Forward.DstIP)
	answers, _ := netip.AddrFromSlice(flow.Reverse.SrcIP)
	asked, answers = asked.Unmap(), answers.Unmap()
	if f, ok := s.whole[asked]; ok && answers == f.To.Addr() {
		return true
	}
	proto := TCP
	switch flow.Forward.Protocol {
	case unix.IPPROTO_TCP:
	case unix.IPPROTO_UDP:
		proto = UDP
	default:
		return false
	}
	key := service{familyOf(asked), proto, flow.Forward.DstPort}
	for _, f := range s.gone[key] {
		if asked != answers && answers == f.To.Addr() && flow.Reverse.SrcPort == f.To.Port()+key.port-f.Port && f.listensAt(asked) {
			return true
		}
	}
	for _, f := range s.came[key] {
		if _, ours := s.own[asked]; ours && asked == answers && f.listensAt(asked) {
			return true
		}
	}
	return false
}

func (f Forward) listensAt(a netip.Addr) bool { return !f.Listen.IsValid() || f.Listen == a }

// addresses are the host's own.
func (k *kernel) addresses() (map[netip.Addr]netip.Prefix, error) {
	list, err := dump(func() ([]netlink.Addr, error) { return k.AddrList(nil, netlink.FAMILY_ALL) })
	out := map[netip.Addr]netip.Prefix{}
	for _, a := range list {
		ip, ok := netip.AddrFromSlice(a.IP)
		bits, _ := a.Mask.Size()
		if ok {
			out[ip.Unmap()] = netip.PrefixFrom(ip.Unmap(), bits)
		}
	}
	return out, err
}
