package guard

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/netip"
	"strings"
)

// A listing is what "nft -j list table" says of our tables.
type listing struct {
	elements []element
	digest   map[kind]string // that a table carries
	rules    map[kind]string // digest of the chains and rules as they are
	drops    map[string]uint64
}

func newListing() listing {
	return listing{digest: map[kind]string{}, rules: map[kind]string{}, drops: map[string]uint64{}}
}

// merge adds another table.
func (l *listing) merge(one listing) {
	l.elements = append(l.elements, one.elements...)
	maps.Copy(l.digest, one.digest)
	maps.Copy(l.rules, one.rules)
	for name, n := range one.drops {
		l.drops[name] += n
	}
}

// listed is one object of nft's JSON, as far as we look into it.
type listed struct {
	Set *struct {
		Name string            `json:"name"`
		Elem []json.RawMessage `json:"elem"`
	} `json:"set"`
	Counter *struct {
		Name    string `json:"name"`
		Packets uint64 `json:"packets"`
	} `json:"counter"`
	Chain, Rule, Map, Quota, Limit map[string]any
}

// parse reads nft's JSON. What is neither a set nor a counter goes into the
// digest, without the handles, which change with each load.
func parse(k kind, text []byte) (listing, error) {
	out := newListing()
	var doc struct {
		NFTables []listed `json:"nftables"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		return out, fmt.Errorf("nft's listing: %w", err)
	}
	sum := sha256.New()
	for _, o := range doc.NFTables {
		if o.Counter != nil {
			out.drops[o.Counter.Name] = o.Counter.Packets
		}
		if o.Set != nil {
			for _, raw := range o.Set.Elem {
				if err := out.add(k, o.Set.Name, raw); err != nil {
					return out, fmt.Errorf("nft's listing: set %s: %s: %w", o.Set.Name, raw, err)
				}
			}
		}
		for _, part := range []map[string]any{o.Chain, o.Rule, o.Map, o.Quota, o.Limit} {
			if part == nil {
				continue
			}
			delete(part, "handle")
			line, err := json.Marshal(part)
			if err != nil {
				return out, err
			}
			sum.Write(append(line, '\n'))
		}
	}
	out.rules[k] = hex.EncodeToString(sum.Sum(nil))
	return out, nil
}

// add reads one element: VALUE, {"concat": [VIF, VALUE]}, or either of them as
// {"elem": {"val": …, "comment": …}}.
func (l *listing) add(k kind, set string, raw json.RawMessage) error {
	var wrapped struct {
		Elem *struct {
			Val     json.RawMessage `json:"val"`
			Comment string          `json:"comment"`
		} `json:"elem"`
	}
	e := element{in: k, set: set}
	if json.Unmarshal(raw, &wrapped) == nil && wrapped.Elem != nil {
		raw, e.owner = wrapped.Elem.Val, wrapped.Elem.Comment
	}
	if set == "digest" {
		l.digest[k] = e.owner
		return nil
	}
	var pair struct {
		Concat []json.RawMessage `json:"concat"`
	}
	if json.Unmarshal(raw, &pair) != nil || len(pair.Concat) == 0 {
		pair.Concat = []json.RawMessage{raw}
	}
	if err := json.Unmarshal(pair.Concat[0], &e.vif); err != nil {
		return err
	}
	if len(pair.Concat) > 1 {
		value, err := valueOf(set, pair.Concat[1])
		if err != nil {
			return err
		}
		e.value = value
	}
	l.elements = append(l.elements, e)
	return nil
}

// valueOf reads the second half of an element. Raw bytes come as a number, or
// as a string of hexadecimal digits when they do not fit into 64 bits.
func valueOf(set string, raw json.RawMessage) (string, error) {
	text := strings.Trim(string(raw), `"`)
	if set == "v4net" || set == "v6net" {
		return networkOf(raw)
	}
	if set != "v6" && set != "net6" {
		return text, nil
	}
	n, ok := new(big.Int).SetString(text, 0)
	if !ok || n.Sign() < 0 || n.BitLen() > 128 {
		return "", fmt.Errorf("not a number of 128 bits")
	}
	if set == "net6" {
		if !n.IsUint64() {
			return "", fmt.Errorf("not a number of 64 bits")
		}
		var b [16]byte
		binary.BigEndian.PutUint64(b[:], n.Uint64())
		return netip.PrefixFrom(netip.AddrFrom16(b), 64).String(), nil
	}
	return netip.AddrFrom16([16]byte(n.FillBytes(make([]byte, 16)))).String(), nil
}

// networkOf reads {"prefix": {"addr": ADDRESS, "len": BITS}}, or an address.
func networkOf(raw json.RawMessage) (string, error) {
	var p struct {
		Prefix struct {
			Addr netip.Addr `json:"addr"`
			Len  int        `json:"len"`
		} `json:"prefix"`
	}
	if err := json.Unmarshal(raw, &p); err == nil && p.Prefix.Addr.IsValid() {
		return netip.PrefixFrom(p.Prefix.Addr, p.Prefix.Len).String(), nil
	}
	var a netip.Addr
	if err := json.Unmarshal(raw, &a); err != nil || !a.IsValid() {
		return "", fmt.Errorf("not a network")
	}
	return netip.PrefixFrom(a, a.BitLen()).String(), nil
}

// state is what is in force: nothing, unless the rules are as they were loaded
// and the elements are exactly those of a state.
func (l listing) state() State {
	s := stateOf(l.elements)
	for _, k := range kinds() {
		rules, there := l.rules[k]
		if there != s.needs(k) || there && (rules == "" || l.digest[k] != rules) {
			return State{Open: true}
		}
	}
	if !equal(s.elements(), l.elements) {
		return State{Open: true}
	}
	return s
}
