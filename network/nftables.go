package network

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// What nf_tables holds is asked for by netlink where names and numbers are
// enough: the command nft reads all rules of the host before it answers.

// nfAttrs are the attributes of one object, by their number.
type nfAttrs map[uint16]string

// nfDump lists objects: what is one of the messages NFT_MSG_GET*.
func nfDump(what int, f family, with ...*nl.RtAttr) ([]nfAttrs, error) {
	number := map[family]uint8{v4: unix.NFPROTO_IPV4, v6: unix.NFPROTO_IPV6}[f]
	answers, err := dump(func() ([][]byte, error) {
		req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|what, unix.NLM_F_DUMP)
		req.AddData(&nl.Nfgenmsg{NfgenFamily: number})
		for _, attr := range with {
			req.AddData(attr)
		}
		return req.Execute(unix.NETLINK_NETFILTER, 0)
	})
	if err != nil {
		return nil, fmt.Errorf("list nf_tables: %w", err)
	}
	var out []nfAttrs
	for _, a := range answers {
		if len(a) < nl.SizeofNfgenmsg || a[0] != number {
			continue
		}
		attrs, err := nl.ParseRouteAttr(a[nl.SizeofNfgenmsg:])
		if err != nil {
			return nil, fmt.Errorf("list nf_tables: %w", err)
		}
		one := nfAttrs{}
		for _, attr := range attrs {
			one[attr.Attr.Type&^unix.NLA_F_NESTED] = string(attr.Value)
		}
		out = append(out, one)
	}
	return out, nil
}

// name is an attribute that is a string.
func (a nfAttrs) name(attr uint16) string { return strings.TrimSuffix(a[attr], "\x00") }

// nfTables lists the tables of a family.
func nfTables(f family) (map[string]bool, error) {
	all, err := nfDump(unix.NFT_MSG_GETTABLE, f)
	out := map[string]bool{}
	for _, t := range all {
		out[t.name(unix.NFTA_TABLE_NAME)] = true
	}
	return out, err
}

// hasOurTable reports whether nft's table of ours is there, in either family.
func hasOurTable() (bool, error) {
	for _, f := range families() {
		if tables, err := nfTables(f); err != nil || tables[nftTable] {
			return err == nil, err
		}
	}
	return false, nil
}

// hasOurChains reports whether iptables-nft holds chains of ours.
func hasOurChains() (bool, error) {
	for _, f := range families() {
		chains, err := nfDump(unix.NFT_MSG_GETCHAIN, f)
		if err != nil {
			return false, err
		}
		for _, c := range chains {
			if strings.HasPrefix(c.name(unix.NFTA_CHAIN_NAME), chainPrefix) {
				return true, nil
			}
		}
	}
	return false, nil
}

// programMark is a hash of what the chains of our table are made of: the
// policies of chains and the numbers of rules, which the kernel never gives
// twice. Rules of the chains that a state fills are left out.
func programMark(f family) (string, error) {
	sum := sha256.New()
	chains, err := nfDump(unix.NFT_MSG_GETCHAIN, f)
	if err != nil {
		return "", err
	}
	for _, c := range chains {
		if c.name(unix.NFTA_CHAIN_TABLE) == nftTable {
			_, _ = fmt.Fprintf(sum, "%q %x %x\n", c.name(unix.NFTA_CHAIN_NAME), c[unix.NFTA_CHAIN_HANDLE], c[unix.NFTA_CHAIN_POLICY])
		}
	}
	rules, err := nfDump(unix.NFT_MSG_GETRULE, f, nl.NewRtAttr(unix.NFTA_RULE_TABLE, nl.ZeroTerminated(nftTable)))
	if err != nil {
		return "", err
	}
	for _, r := range rules {
		chain := r.name(unix.NFTA_RULE_CHAIN)
		if r.name(unix.NFTA_RULE_TABLE) == nftTable && chain != pinChn && chain != masqChn {
			_, _ = fmt.Fprintf(sum, "%q %x\n", chain, r[unix.NFTA_RULE_HANDLE])
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:8]), nil
}
