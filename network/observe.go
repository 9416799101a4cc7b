package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/vishvananda/netlink"

	"github.com/xenhost/xenhost/xen/dom0"
)

// observed is the host as one look at it shows.
type observed struct {
	nat, filter ruleset
	links       map[string]linkSeen
	bridges     map[string]bridgeSeen
	record
	actual State // what of the record is in place
}

type linkSeen struct {
	link   netlink.Link
	master string // the bridge that it is in
	alias  string
}

type bridgeSeen struct {
	ours      bool
	ports     []string
	addresses []netip.Prefix
}

func bridgeAlias(name string) string { return "xenhost:br:" + name }

// vifAlias marks a guest's vif, so that counters of interfaces can be told by
// guest.
func vifAlias(id uuid.UUID, vif string) string {
	_, index, _ := strings.Cut(vif, ".")
	return "xenhost:" + id.String() + ":" + index
}

// observe looks at both tables and the links.
func (l *Linux) observe(ctx context.Context, k *kernel) (observed, error) {
	seen, err := l.tables(ctx)
	if err != nil {
		return seen, err
	}
	if err := k.look(&seen); err != nil {
		return seen, err
	}
	seen.record = recorded(seen.nat)
	seen.actual = seen.linked(seen.inPlace(seen.reached()))
	return seen, nil
}

// tables lists all tables in one go: iptables-nft-save reads all of them for
// any, and iptables-legacy-save -t would make a table that is not there.
func (l *Linux) tables(ctx context.Context) (observed, error) {
	out, err := dom0.Output(ctx, l.runner, l.iptables+"-save")
	if err != nil {
		return observed{}, err
	}
	tables, err := parseSave(string(out))
	return observed{nat: tables["nat"], filter: tables["filter"]}, err
}

// look lists the links and the addresses.
func (k *kernel) look(seen *observed) error {
	list, err := dump(k.LinkList)
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	addresses, err := dump(func() ([]netlink.Addr, error) { return k.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	seen.links, seen.bridges = map[string]linkSeen{}, map[string]bridgeSeen{}
	name := map[int]string{}
	for _, link := range list {
		name[link.Attrs().Index] = link.Attrs().Name
		if link.Type() == "bridge" {
			ours := link.Attrs().Alias == bridgeAlias(link.Attrs().Name)
			seen.bridges[link.Attrs().Name] = bridgeSeen{ours: ours}
		}
	}
	for _, link := range list {
		master := name[link.Attrs().MasterIndex]
		seen.links[link.Attrs().Name] = linkSeen{link, master, link.Attrs().Alias}
		if b, ok := seen.bridges[master]; ok {
			b.ports = append(b.ports, link.Attrs().Name)
			seen.bridges[master] = b
		}
	}
	for _, a := range addresses {
		ip, ok := netip.AddrFromSlice(a.IP)
		bits, _ := a.Mask.Size()
		if b, is := seen.bridges[name[a.LinkIndex]]; is && ok {
			b.addresses = append(b.addresses, netip.PrefixFrom(ip.Unmap(), bits))
			seen.bridges[name[a.LinkIndex]] = b
		}
	}
	return nil
}

// dump asks the kernel for a list again when it changed while it was read, as
// it does when a domain starts; netlink then gives only a part.
func dump[T any](list func() (T, error)) (T, error) {
	for range 20 {
		all, err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return all, err
		}
	}
	return list()
}

// linked leaves out what the links do not show.
func (o observed) linked(s State) State {
	s = s.Normalize()
	bridges := s.Bridges
	s.Bridges = nil
	for _, b := range bridges {
		have, ok := o.bridges[b.Name]
		if !ok {
			continue
		}
		b.Ports = slices.DeleteFunc(b.Ports, func(p string) bool { return !slices.Contains(have.ports, p) })
		b.Addresses = slices.DeleteFunc(b.Addresses, func(a netip.Prefix) bool { return !slices.Contains(have.addresses, a) })
		s.Bridges = append(s.Bridges, b)
	}
	for i := range s.Guests {
		g := &s.Guests[i]
		g.Ports = slices.DeleteFunc(g.Ports, func(p Port) bool {
			vif, ok := o.links[p.Vif]
			return ok && vif.master != p.Bridge
		})
	}
	return s.Normalize()
}
