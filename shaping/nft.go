package shaping

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// Which class a packet goes to is looked up once, by the vif it came in by, in
// maps of nftables; the uplink's HTB takes the class from the packet's
// priority. Routing overwrites that (by the packet's TOS), so a mark carries it
// over for guests behind dom0's own address:
//
//	table bridge xenhost_shaping {
//		map classes { type ifname : classid; elements = { "x7f3a0000.0" comment "guest 7f3a…: download 100mbit" : 5651:1 } }
//		map marks { type ifname : mark; elements = { "x7f3a0000.0" : 0x56510001 } }
//		chain in { type filter hook prerouting priority -200;
//			meta priority set iifname map @classes
//			meta mark set iifname map @marks
//		}
//	}
//	table inet xenhost_shaping {
//		map classes { type mark : classid; elements = { 0x56510001 : 5651:1 } }
//		chain out { type filter hook postrouting priority 0;
//			meta priority set meta mark map @classes comment "uplink eth0 rate 950mbit dom0 95mbit"
//		}
//	}
//
// The comments are the record of what was asked for.
const table = "xenhost_shaping"

// The numbers by which nft knows the types of keys and values, for printing.
const (
	typeIfname  uint32 = 41
	typeMark    uint32 = 19
	typeClassID uint32 = 23
)

// An entry is one vif's line in the maps.
type entry struct {
	vif   string
	class uint32
	note  string
}

func nftMessage(kind uint16, flags uint16, family byte, about string, attributes ...[]byte) message {
	body := []byte{family, 0, 0, 0} // nfgenmsg: version 0, resource 0
	for _, a := range attributes {
		body = append(body, a...)
	}
	return message{kind: unix.NFNL_SUBSYS_NFTABLES<<8 | kind, flags: flags, body: body, about: about}
}

// transact does messages in one transaction: all or nothing.
func (c *conn) transact(messages []message) error {
	if len(messages) == 0 {
		return nil
	}
	edge := func(kind uint16) message {
		return message{kind: kind, body: []byte{unix.AF_UNSPEC, 0, 0, unix.NFNL_SUBSYS_NFTABLES}, about: "nftables"}
	}
	all := append([]message{edge(unix.NFNL_MSG_BATCH_BEGIN)}, messages...)
	all[len(all)-1].flags |= unix.NLM_F_ACK
	last := len(all) - 1
	first, err := c.write(append(all, edge(unix.NFNL_MSG_BATCH_END)))
	if err != nil {
		return err
	}
	return c.answers(first, last, all)
}

// makeTables makes the tables with what is always in them; one that is there
// without the other is made anew.
func makeTables() []message {
	const about = "make nftables table " + table
	mapOf := func(family byte, name string, key, keyLen, value uint32, id uint32) message {
		host := attr(0, native32(1)) // NFTNL_UDATA_SET_KEYBYTEORDER: the machine's
		host = []byte{0, 4, host[4], host[5], host[6], host[7], 1, 4, host[4], host[5], host[6], host[7]}
		return nftMessage(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE, family, about,
			attr(unix.NFTA_SET_TABLE, text(table)), attr(unix.NFTA_SET_NAME, text(name)),
			attr(unix.NFTA_SET_FLAGS, big32(unix.NFT_SET_MAP)), attr(unix.NFTA_SET_ID, big32(id)),
			attr(unix.NFTA_SET_KEY_TYPE, big32(key)), attr(unix.NFTA_SET_KEY_LEN, big32(keyLen)),
			attr(unix.NFTA_SET_DATA_TYPE, big32(value)), attr(unix.NFTA_SET_DATA_LEN, big32(4)),
			attr(unix.NFTA_SET_USERDATA, host))
	}
	chain := func(family byte, name string, hook uint32, priority int32) message {
		return nftMessage(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, family, about,
			attr(unix.NFTA_CHAIN_TABLE, text(table)), attr(unix.NFTA_CHAIN_NAME, text(name)),
			nest(unix.NFTA_CHAIN_HOOK, attr(unix.NFTA_HOOK_HOOKNUM, big32(hook)), attr(unix.NFTA_HOOK_PRIORITY, big32(uint32(priority)))),
			attr(unix.NFTA_CHAIN_TYPE, text("filter")))
	}
	var out []message
	for _, family := range []byte{unix.NFPROTO_BRIDGE, unix.NFPROTO_INET} {
		there := func(kind, flags uint16) message {
			return nftMessage(kind, flags, family, about, attr(unix.NFTA_TABLE_NAME, text(table)))
		}
		out = append(out, there(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE), // only what is there can be removed
			there(unix.NFT_MSG_DELTABLE, 0), there(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE))
	}
	return append(out,
		mapOf(unix.NFPROTO_BRIDGE, "classes", typeIfname, unix.IFNAMSIZ, typeClassID, 1),
		mapOf(unix.NFPROTO_BRIDGE, "marks", typeIfname, unix.IFNAMSIZ, typeMark, 2),
		mapOf(unix.NFPROTO_INET, "classes", typeMark, 4, typeClassID, 3),
		chain(unix.NFPROTO_BRIDGE, "in", unix.NF_INET_PRE_ROUTING, -200),
		chain(unix.NFPROTO_INET, "out", unix.NF_INET_POST_ROUTING, 0),
	)
}

// dropTables removes the tables with all that is in them.
func dropTables() []message {
	var out []message
	for _, family := range []byte{unix.NFPROTO_BRIDGE, unix.NFPROTO_INET} {
		out = append(out, nftMessage(unix.NFT_MSG_DELTABLE, 0, family, "remove nftables table "+table, attr(unix.NFTA_TABLE_NAME, text(table))))
	}
	return out
}

// setRules writes the three rules; the last one's comment is about the uplink.
func setRules(u Uplink) []message {
	const about = "make rules of nftables table " + table
	rule := func(family byte, chain string, match, set uint32, lookup, comment string) message {
		expr := func(name string, of ...[]byte) []byte {
			return nest(unix.NFTA_LIST_ELEM, attr(unix.NFTA_EXPR_NAME, text(name)), nest(unix.NFTA_EXPR_DATA, of...))
		}
		attributes := [][]byte{
			attr(unix.NFTA_RULE_TABLE, text(table)), attr(unix.NFTA_RULE_CHAIN, text(chain)),
			nest(unix.NFTA_RULE_EXPRESSIONS,
				expr("meta", attr(unix.NFTA_META_KEY, big32(match)), attr(unix.NFTA_META_DREG, big32(unix.NFT_REG_1))),
				expr("lookup", attr(unix.NFTA_LOOKUP_SET, text(lookup)), attr(unix.NFTA_LOOKUP_SREG, big32(unix.NFT_REG_1)),
					attr(unix.NFTA_LOOKUP_DREG, big32(unix.NFT_REG_1))),
				expr("meta", attr(unix.NFTA_META_KEY, big32(set)), attr(unix.NFTA_META_SREG, big32(unix.NFT_REG_1)))),
		}
		if comment != "" {
			attributes = append(attributes, attr(unix.NFTA_RULE_USERDATA, remark(comment)))
		}
		return nftMessage(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, family, about, attributes...)
	}
	empty := func(family byte, chain string) message {
		return nftMessage(unix.NFT_MSG_DELRULE, 0, family, about, attr(unix.NFTA_RULE_TABLE, text(table)), attr(unix.NFTA_RULE_CHAIN, text(chain)))
	}
	comment := "no uplink"
	if u != (Uplink{}) {
		comment = u.String()
	}
	return []message{
		empty(unix.NFPROTO_BRIDGE, "in"), empty(unix.NFPROTO_INET, "out"),
		rule(unix.NFPROTO_BRIDGE, "in", unix.NFT_META_IIFNAME, unix.NFT_META_PRIORITY, "classes", ""),
		rule(unix.NFPROTO_BRIDGE, "in", unix.NFT_META_IIFNAME, unix.NFT_META_MARK, "marks", ""),
		rule(unix.NFPROTO_INET, "out", unix.NFT_META_MARK, unix.NFT_META_PRIORITY, "classes", comment),
	}
}

// remark is a comment as nft keeps it.
func remark(s string) []byte { return append([]byte{0, byte(len(s) + 1)}, text(s)...) }

// said is the text of a remark.
func said(userdata []byte) string {
	if len(userdata) < 2 || userdata[0] != 0 {
		return ""
	}
	return line(userdata[2:])
}

// elements is one message that puts, drops or asks for elements of one map;
// without any it asks for all.
func elements(kind uint16, family byte, set, about string, list [][]byte) message {
	flags := uint16(0)
	switch {
	case kind == unix.NFT_MSG_NEWSETELEM:
		flags = unix.NLM_F_CREATE
	case len(list) == 0:
		flags = unix.NLM_F_DUMP
	}
	return nftMessage(kind, flags, family, about,
		attr(unix.NFTA_SET_ELEM_LIST_TABLE, text(table)), attr(unix.NFTA_SET_ELEM_LIST_SET, text(set)),
		nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS, list...))
}

// putNotes and dropNotes put and drop entries of the maps by vif.
func putNotes(entries []entry) []message {
	return change(unix.NFT_MSG_NEWSETELEM, entries, func(e entry) (classes, marks []byte) {
		value := nest(unix.NFTA_SET_ELEM_DATA, attr(unix.NFTA_DATA_VALUE, native32(e.class)))
		return nest(unix.NFTA_LIST_ELEM, vifKey(e.vif), value, attr(unix.NFTA_SET_ELEM_USERDATA, remark(e.note))),
			nest(unix.NFTA_LIST_ELEM, vifKey(e.vif), value)
	})
}

func dropNotes(entries []entry) []message {
	return change(unix.NFT_MSG_DELSETELEM, entries, func(e entry) (classes, marks []byte) {
		only := nest(unix.NFTA_LIST_ELEM, vifKey(e.vif))
		return only, only
	})
}

// piece is how many entries go into a message: its length has 16 bits.
const piece = 100

func change(kind uint16, entries []entry, render func(entry) (classes, marks []byte)) []message {
	var out []message
	for list := range slices.Chunk(entries, piece) {
		var classes, marks [][]byte
		for _, e := range list {
			c, m := render(e)
			classes, marks = append(classes, c), append(marks, m)
		}
		about := "note vif " + list[0].vif
		out = append(out, elements(kind, unix.NFPROTO_BRIDGE, "classes", about, classes),
			elements(kind, unix.NFPROTO_BRIDGE, "marks", about, marks))
	}
	return out
}

// changeRouted puts or drops classes in the map by mark.
func changeRouted(kind uint16, classes []uint32) []message {
	var out []message
	for list := range slices.Chunk(classes, piece) {
		var elems [][]byte
		for _, id := range list {
			value := nest(unix.NFTA_SET_ELEM_DATA, attr(unix.NFTA_DATA_VALUE, native32(id)))
			elems = append(elems, nest(unix.NFTA_LIST_ELEM, elementKey(native32(id)), value))
		}
		out = append(out, elements(kind, unix.NFPROTO_INET, "classes", fmt.Sprintf("note class %x", list[0]), elems))
	}
	return out
}

func elementKey(k []byte) []byte {
	return nest(unix.NFTA_SET_ELEM_KEY, attr(unix.NFTA_DATA_VALUE, k))
}

func vifKey(vif string) []byte {
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, vif)
	return elementKey(name)
}

// notes reads the record: the uplink and the entries. made is false when the
// tables are not there.
func (c *conn) notes() (u Uplink, entries []entry, made bool, err error) {
	rules, err := c.ask(nftMessage(unix.NFT_MSG_GETRULE, unix.NLM_F_DUMP, unix.NFPROTO_INET, "read nftables rules",
		attr(unix.NFTA_RULE_TABLE, text(table)), attr(unix.NFTA_RULE_CHAIN, text("out"))))
	if err != nil {
		return Uplink{}, nil, false, err
	}
	for _, r := range rules {
		comment := said(find(r[min(4, len(r)):], unix.NFTA_RULE_USERDATA))
		made = made || comment != ""
		if parsed, ok := parseUplink(comment); ok {
			u = parsed
		}
	}
	if !made {
		return Uplink{}, nil, false, nil
	}
	bodies, err := c.ask(elements(unix.NFT_MSG_GETSETELEM, unix.NFPROTO_BRIDGE, "classes", "read nftables map classes", nil))
	if errors.Is(err, unix.ENOENT) {
		return Uplink{}, nil, false, nil // one of the tables was taken away
	}
	if err != nil {
		return Uplink{}, nil, false, err
	}
	for _, b := range bodies {
		entries = append(entries, entriesOf(b)...)
	}
	return u, entries, true, nil
}

// note reads the entry of one vif; none if there is none.
func (c *conn) note(vif string) ([]entry, error) {
	m := elements(unix.NFT_MSG_GETSETELEM, unix.NFPROTO_BRIDGE, "classes", "read the note of vif "+vif,
		[][]byte{nest(unix.NFTA_LIST_ELEM, vifKey(vif))})
	m.means = absence
	bodies, err := c.ask(m)
	if err != nil || len(bodies) == 0 {
		return nil, err
	}
	return entriesOf(bodies[0]), nil
}

// generation counts the changes of nftables.
func (c *conn) generation() (uint32, error) {
	unsupported := fmt.Errorf("this kernel has no nftables: %w", errors.ErrUnsupported)
	m := nftMessage(unix.NFT_MSG_GETGEN, 0, unix.AF_UNSPEC, "read nftables generation")
	m.means = func(e syscall.Errno) error {
		if e == unix.EINVAL {
			return unsupported
		}
		return e
	}
	bodies, err := c.ask(m)
	if err != nil {
		return 0, err
	}
	for _, b := range bodies {
		if id := find(b[min(4, len(b)):], unix.NFTA_GEN_ID); len(id) == 4 {
			return binary.BigEndian.Uint32(id), nil
		}
	}
	return 0, unsupported
}

// entriesOf reads the elements of a message.
func entriesOf(body []byte) (entries []entry) {
	for _, e := range attrs(find(body[min(4, len(body)):], unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
		value := find(e, unix.NFTA_SET_ELEM_DATA, unix.NFTA_DATA_VALUE)
		if len(value) < 4 {
			continue
		}
		entries = append(entries, entry{
			vif:   line(find(e, unix.NFTA_SET_ELEM_KEY, unix.NFTA_DATA_VALUE)),
			class: number32(value),
			note:  said(find(e, unix.NFTA_SET_ELEM_USERDATA)),
		})
	}
	return entries
}
