package island

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	aliasPrefix = "xenhost:island:"
	routers     = "/run/netns"
)

// seen is what a host has of one island, and of which others it has something.
type seen struct {
	links   map[string]bool   // all interfaces of dom0
	parts   map[string]string // of this island: name to alias
	router  bool              // its namespace is there, whole or not
	all     []uuid.UUID
	others  bool                // another island has links in dom0
	transit map[netip.Addr]bool // addresses that islands have in dom0
}

func (s seen) nothing() bool { return len(s.parts) == 0 && !s.router }

// complete reports whether want was made to its end. The first bridge gets the
// sum of what it was made of as the last thing.
func (s seen) complete(want Island) bool {
	for _, name := range names(want) {
		if s.parts[name] == "" {
			return false
		}
	}
	return len(s.parts) == len(names(want)) && s.router && s.parts[BridgeName(want.UUID, 0)] == doneAlias(want)
}

// unfinished stands for the alias of a link that was made and not marked: it is
// ours by its group, which a link has from its first moment.
const unfinished = "unfinished"

// allNames are the names that links of a guest's island can have.
func allNames(id uuid.UUID) []string {
	return names(Island{UUID: id, Links: make([]Link, MaxLinks), Out: "any"})
}

func alias(id uuid.UUID) string { return aliasPrefix + id.String() }

func doneAlias(want Island) string {
	text, _ := json.Marshal(want) // it has nothing that can not be written
	sum := sha256.Sum256(text)
	return alias(want.UUID) + ":" + hex.EncodeToString(sum[:8])
}

// names are the links of an island in dom0.
func names(i Island) []string {
	var out []string
	for n := range i.Links {
		out = append(out, BridgeName(i.UUID, n), plugName(i.UUID, n))
	}
	if i.Out != "" {
		out = append(out, uplinkName(i.UUID))
	}
	return out
}

func (l *Linux) look(h *netlink.Handle, id uuid.UUID) (seen, error) {
	s := seen{links: map[string]bool{}, parts: map[string]string{}, transit: map[netip.Addr]bool{}}
	links, err := h.LinkList()
	if err != nil {
		return s, err
	}
	has := map[uuid.UUID]bool{}
	for _, link := range links {
		a := link.Attrs()
		s.links[a.Name] = true
		if a.Group == group && a.Alias == "" && id != uuid.Nil && slices.Contains(allNames(id), a.Name) {
			s.parts[a.Name] = unfinished
		}
		rest, ours := strings.CutPrefix(a.Alias, aliasPrefix)
		if !ours {
			continue
		}
		text, _, _ := strings.Cut(rest, ":")
		owner, err := uuid.Parse(text)
		if err != nil {
			continue
		}
		has[owner] = true
		if owner == id {
			s.parts[a.Name] = a.Alias
		} else {
			s.others = true
		}
		addresses, err := h.AddrList(link, netlink.FAMILY_V4)
		if err != nil && !errors.Is(err, unix.ENODEV) {
			return s, fmt.Errorf("addresses of %s: %w", a.Name, err)
		}
		for _, one := range addresses {
			if ip, ok := netip.AddrFromSlice(one.IP); ok {
				s.transit[ip.Unmap()] = true
			}
		}
	}
	spaces, err := os.ReadDir(routers)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	for _, e := range spaces {
		text, ours := strings.CutPrefix(e.Name(), routerPrefix)
		if owner, err := uuid.Parse(text); ours && err == nil {
			has[owner] = true
			s.router = s.router || owner == id
		}
	}
	for owner := range has {
		s.all = append(s.all, owner)
	}
	slices.SortFunc(s.all, func(a, b uuid.UUID) int { return strings.Compare(a.String(), b.String()) })
	return s, nil
}

func routerPath(id uuid.UUID) string { return filepath.Join(routers, RouterName(id)) }

func notThere(name string) error { return fmt.Errorf("interface %s: %w", name, fs.ErrNotExist) }
