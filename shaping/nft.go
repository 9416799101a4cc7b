package shaping

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/nlattr"
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
		order := slices.Concat([]byte{0, 4}, native32(1), []byte{1, 4}, native32(1)) // of key and value: the machine's
		return nftMessage(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE, family, about,
			nlattr.New(unix.NFTA_SET_TABLE, nlattr.Text(table)), nlattr.New(unix.NFTA_SET_NAME, nlattr.Text(name)),
			nlattr.New(unix.NFTA_SET_FLAGS, big32(unix.NFT_SET_MAP)), nlattr.New(unix.NFTA_SET_ID, big32(id)),
			nlattr.New(unix.NFTA_SET_KEY_TYPE, big32(key)), nlattr.New(unix.NFTA_SET_KEY_LEN, big32(keyLen)),
			nlattr.New(unix.NFTA_SET_DATA_TYPE, big32(value)), nlattr.New(unix.NFTA_SET_DATA_LEN, big32(4)),
			nlattr.New(unix.NFTA_SET_USERDATA, order))
	}
	chain := func(family byte, name string, hook uint32, priority int32) message {
		return nftMessage(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, family, about,
			nlattr.New(unix.NFTA_CHAIN_TABLE, nlattr.Text(table)), nlattr.New(unix.NFTA_CHAIN_NAME, nlattr.Text(name)),
			nlattr.Nest(unix.NFTA_CHAIN_HOOK, nlattr.New(unix.NFTA_HOOK_HOOKNUM, big32(hook)), nlattr.New(unix.NFTA_HOOK_PRIORITY, big32(uint32(priority)))),
			nlattr.New(unix.NFTA_CHAIN_TYPE, nlattr.Text("filter")))
	}
	var out []message
	for _, family := range []byte{unix.NFPROTO_BRIDGE, unix.NFPROTO_INET} {
		there := func(kind, flags uint16) message {
			return nftMessage(kind, flags, family, about, nlattr.New(unix.NFTA_TABLE_NAME, nlattr.Text(table)))
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
		out = append(out, nftMessage(unix.NFT_MSG_DELTABLE, 0, family, "remove nftables table "+table, nlattr.New(unix.NFTA_TABLE_NAME, nlattr.Text(table))))
	}
	return out
}

// setRules writes the three rules; the last one's comment is about the uplink.
func setRules(u Uplink) []message {
	const about = "make rules of nftables table " + table
	rule := func(family byte, chain string, match, set uint32, lookup, comment string) message {
		expr := func(name string, of ...[]byte) []byte {
			return nlattr.Nest(unix.NFTA_LIST_ELEM, nlattr.New(unix.NFTA_EXPR_NAME, nlattr.Text(name)), nlattr.Nest(unix.NFTA_EXPR_DATA, of...))
		}
		attributes := [][]byte{
			nlattr.New(unix.NFTA_RULE_TABLE, nlattr.Text(table)), nlattr.New(unix.NFTA_RULE_CHAIN, nlattr.Text(chain)),
			nlattr.Nest(unix.NFTA_RULE_EXPRESSIONS,
				expr("meta", nlattr.New(unix.NFTA_META_KEY, big32(match)), nlattr.New(unix.NFTA_META_DREG, big32(unix.NFT_REG_1))),
				expr("lookup", nlattr.New(unix.NFTA_LOOKUP_SET, nlattr.Text(lookup)), nlattr.New(unix.NFTA_LOOKUP_SREG, big32(unix.NFT_REG_1)),
					nlattr.New(unix.NFTA_LOOKUP_DREG, big32(unix.NFT_REG_1))),
				expr("meta", nlattr.New(unix.NFTA_META_KEY, big32(set)), nlattr.New(unix.NFTA_META_SREG, big32(unix.NFT_REG_1)))),
		}
		if comment != "" {
			attributes = append(attributes, nlattr.New(unix.NFTA_RULE_USERDATA, remark(comment)))
		}
		return nftMessage(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, family, about, attributes...)
	}
	empty := func(family byte, chain string) message {
		return nftMessage(unix.NFT_MSG_DELRULE, 0, family, about, nlattr.New(unix.NFTA_RULE_TABLE, nlattr.Text(table)), nlattr.New(unix.NFTA_RULE_CHAIN, nlattr.Text(chain)))
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
