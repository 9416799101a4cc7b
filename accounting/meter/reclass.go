package meter

import (
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/nlattr"
)

// mark is the one element of the set "made": its comment is the digest of what
// the tables were made for.
const mark = "classes"

// reclass adds what makes the classes as wanted, if they are not; counters go on.
func (l *Linux) reclass(change *strings.Builder) error {
	for family, name := range map[byte]string{unix.NFPROTO_BRIDGE: "bridge", unix.NFPROTO_INET: "inet"} {
		made := ""
		err := l.conn.elements(family, "made", func(e []byte) {
			if userdata := nlattr.Find(e, unix.NFTA_SET_ELEM_USERDATA); len(userdata) > 2 {
				made = text(userdata[2:])
			}
		})
		if err != nil {
			return err
		}
		if made == l.opts.Classes.digest() {
			continue
		}
		fmt.Fprintf(change, "flush set %s %s made\nadd element %[1]s %[2]s made { %[3]s comment %[4]q }\n", name, table, mark, l.opts.Classes.digest())
		for _, set := range prefixSets(l.opts.Classes) {
			fmt.Fprintf(change, "flush set %s %s %s\n", name, table, set.name)
			for _, p := range set.of() {
				fmt.Fprintf(change, "add element %s %s %s { %v }\n", name, table, set.name, p)
			}
		}
	}
	return nil
}

// prefixSet is one of the sets that addresses are looked up in.
type prefixSet struct {
	name, kind string
	all        []netip.Prefix
	v4         bool
}

func prefixSets(c Classes) []prefixSet {
	return []prefixSet{
		{"internal4", "ipv4_addr", c.internal(), true}, {"internal6", "ipv6_addr", c.internal(), false},
		{"peer4", "ipv4_addr", c.Peer, true}, {"peer6", "ipv6_addr", c.Peer, false},
	}
}

func (s prefixSet) of() (out []netip.Prefix) {
	for _, p := range s.all {
		if p.Addr().Is4() == s.v4 {
			out = append(out, p.Masked())
		}
	}
	return out
}
