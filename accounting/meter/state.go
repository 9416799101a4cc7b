package meter

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/accounting"
	"github.com/xenhost/xenhost/internal/nlattr"
)

// Classes are the networks that are not External. Multicast, link-local and
// unspecified addresses are internal in any case.
type Classes struct {
	Internal []netip.Prefix `json:"internal,omitempty"` // guests', hosts', backup
	Peer     []netip.Prefix `json:"peer,omitempty"`     // that cost nothing, as an exchange's
}

func (c Classes) internal() []netip.Prefix {
	all := append([]netip.Prefix(nil), c.Internal...)
	for _, s := range []string{"0.0.0.0/32", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32", "::/128", "fe80::/10", "ff00::/8"} {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

// digest seals what the tables were made for: the version of the rules, too.
func (c Classes) digest() string {
	sum := sha256.Sum256([]byte(fmt.Sprint("1", c.Internal, c.Peer)))
	return hex.EncodeToString(sum[:8])
}

func (c Classes) validate() error {
	for _, p := range append(append([]netip.Prefix(nil), c.Internal...), c.Peer...) {
		if !p.IsValid() || p.Addr().Is4In6() || p.Addr().Zone() != "" {
			return fmt.Errorf("prefix %v: %w", p, accounting.ErrInvalid)
		}
	}
	return nil
}

// Port is a vif whose traffic is a guest's.
type Port struct {
	Guest  uuid.UUID `json:"guest"`
	Dev    string    `json:"dev"` // which one of the guest's, as "0"
	Vif    string    `json:"vif"` // its name in dom0; it need not exist yet
	Routed bool      `json:"routed,omitempty"`
}

func (p Port) validate() error {
	if p.Guest == (uuid.UUID{}) || !plain(p.Vif, unix.IFNAMSIZ-1) || !plain(p.Dev, 8) {
		return fmt.Errorf("port %q of %s, device %q: %w", p.Vif, p.Guest, p.Dev, accounting.ErrInvalid)
	}
	return nil
}

// plain tells that a text can stand in nft's input as it is.
func plain(s string, most int) bool {
	return s != "" && len(s) <= most && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	}) < 0
}

// count is one counter; there is false where its element is missing.
type count struct {
	there bool
	bytes uint64
}

// entry is a vif as the tables have it.
type entry struct {
	port   Port
	epoch  string
	counts [accounting.ExternalOut6 + 1]count
	limits [2]string // names of its quotas, by direction
}

// whole tells that all of its counters are there.
func (e entry) whole() bool {
	for _, c := range e.counts {
		if !c.there {
			return false
		}
	}
	return true
}

// look reads both tables, by family and vif. made is false when one of them is
// not there.
func (c *conn) look() (all map[Port]*entry, made bool, err error) {
	all = map[Port]*entry{}
	for family, routed := range map[byte]bool{unix.NFPROTO_BRIDGE: false, unix.NFPROTO_INET: true} {
		byVif := map[string]*entry{}
		err := c.elements(family, "vifs", func(e []byte) {
			vif := text(nlattr.Find(e, unix.NFTA_SET_ELEM_KEY, unix.NFTA_DATA_VALUE))
			id, dev, epoch, ok := parseNote(nlattr.Find(e, unix.NFTA_SET_ELEM_USERDATA))
			found := &entry{port: Port{Guest: id, Dev: dev, Vif: vif, Routed: routed}, epoch: epoch}
			byVif[vif] = found
			if ok {
				all[found.port] = found
			} else {
				all[Port{Vif: vif, Routed: routed}] = found // somebody's; it goes
			}
		})
		for _, m := range traffic() {
			if err == nil {
				err = c.elements(family, m.String(), func(e []byte) {
					if found := byVif[text(nlattr.Find(e, unix.NFTA_SET_ELEM_KEY, unix.NFTA_DATA_VALUE))]; found != nil {
						found.counts[m] = parseCount(e)
					}
				})
			}
		}
		for d := range 2 {
			if err == nil {
				err = c.elements(family, "quota_"+directionName(d), func(e []byte) {
					if found := byVif[text(nlattr.Find(e, unix.NFTA_SET_ELEM_KEY, unix.NFTA_DATA_VALUE))]; found != nil {
						found.limits[d] = text(nlattr.Find(e, unix.NFTA_SET_ELEM_OBJREF))
					}
				})
			}
		}
		if errors.Is(err, unix.ENOENT) {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, err
		}
	}
	return all, true, nil
}

func text(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}

// parseNote reads the comment of a vif: UUID, device and epoch.
func parseNote(userdata []byte) (id uuid.UUID, dev, epoch string, ok bool) {
	if len(userdata) < 2 || userdata[0] != 0 {
		return id, "", "", false
	}
	words := strings.Fields(text(userdata[2:]))
	if len(words) != 3 {
		return id, "", "", false
	}
	id, err := uuid.Parse(words[0])
	return id, words[1], words[2], err == nil
}

// parseCount finds the counter of an element, alone or in a list.
func parseCount(e []byte) count {
	expr := nlattr.Find(e, unix.NFTA_SET_ELEM_EXPR)
	if expr == nil {
		const expressions = 11 // NFTA_SET_ELEM_EXPRESSIONS
		expr = nlattr.Find(e, expressions, unix.NFTA_LIST_ELEM)
	}
	if text(nlattr.Find(expr, unix.NFTA_EXPR_NAME)) != "counter" {
		return count{}
	}
	bytes := nlattr.Find(expr, unix.NFTA_EXPR_DATA, unix.NFTA_COUNTER_BYTES)
	if len(bytes) < 8 {
		return count{}
	}
	return count{true, binary.BigEndian.Uint64(bytes)}
}
