package shaping

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/nlattr"
)

// An entry is one vif's line in the maps.
type entry struct {
	vif   string
	class uint32
	note  string
}

// remark is a comment as nft keeps it.
func remark(s string) []byte { return append([]byte{0, byte(len(s) + 1)}, nlattr.Text(s)...) }

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
		nlattr.New(unix.NFTA_SET_ELEM_LIST_TABLE, nlattr.Text(table)), nlattr.New(unix.NFTA_SET_ELEM_LIST_SET, nlattr.Text(set)),
		nlattr.Nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS, list...))
}

// putNotes and dropNotes put and drop entries of the maps by vif.
func putNotes(entries []entry) []message {
	return change(unix.NFT_MSG_NEWSETELEM, entries, func(e entry) (classes, marks []byte) {
		value := nlattr.Nest(unix.NFTA_SET_ELEM_DATA, nlattr.New(unix.NFTA_DATA_VALUE, native32(e.class)))
		return nlattr.Nest(unix.NFTA_LIST_ELEM, vifKey(e.vif), value, nlattr.New(unix.NFTA_SET_ELEM_USERDATA, remark(e.note))),
			nlattr.Nest(unix.NFTA_LIST_ELEM, vifKey(e.vif), value)
	})
}

func dropNotes(entries []entry) []message {
	return change(unix.NFT_MSG_DELSETELEM, entries, func(e entry) (classes, marks []byte) {
		only := nlattr.Nest(unix.NFTA_LIST_ELEM, vifKey(e.vif))
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
			value := nlattr.Nest(unix.NFTA_SET_ELEM_DATA, nlattr.New(unix.NFTA_DATA_VALUE, native32(id)))
			elems = append(elems, nlattr.Nest(unix.NFTA_LIST_ELEM, elementKey(native32(id)), value))
		}
		out = append(out, elements(kind, unix.NFPROTO_INET, "classes", fmt.Sprintf("note class %x", list[0]), elems))
	}
	return out
}

func elementKey(k []byte) []byte {
	return nlattr.Nest(unix.NFTA_SET_ELEM_KEY, nlattr.New(unix.NFTA_DATA_VALUE, k))
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
		nlattr.New(unix.NFTA_RULE_TABLE, nlattr.Text(table)), nlattr.New(unix.NFTA_RULE_CHAIN, nlattr.Text("out"))))
	if err != nil {
		return Uplink{}, nil, false, err
	}
	for _, r := range rules {
		comment := said(nlattr.Find(r[min(4, len(r)):], unix.NFTA_RULE_USERDATA))
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
		[][]byte{nlattr.Nest(unix.NFTA_LIST_ELEM, vifKey(vif))})
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
		if id := nlattr.Find(b[min(4, len(b)):], unix.NFTA_GEN_ID); len(id) == 4 {
			return binary.BigEndian.Uint32(id), nil
		}
	}
	return 0, unsupported
}

// entriesOf reads the elements of a message.
func entriesOf(body []byte) (entries []entry) {
	for _, e := range nlattr.All(nlattr.Find(body[min(4, len(body)):], unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
		value := nlattr.Find(e, unix.NFTA_SET_ELEM_DATA, unix.NFTA_DATA_VALUE)
		if len(value) < 4 {
			continue
		}
		entries = append(entries, entry{
			vif:   line(nlattr.Find(e, unix.NFTA_SET_ELEM_KEY, unix.NFTA_DATA_VALUE)),
			class: number32(value),
			note:  said(nlattr.Find(e, unix.NFTA_SET_ELEM_USERDATA)),
		})
	}
	return entries
}
