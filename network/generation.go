package network

import (
	"encoding/binary"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// generation is the number of transactions that nf_tables has seen in the
// thread's network namespace, by anybody:
//
//	nft monitor, "new generation"
//
// It grows by one for each iptables-nft-restore of a table and each nft -f, so
// that one message tells whether a hand was in the tables since.
func generation() (stamp, error) {
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETGEN, 0)
	req.AddData(&nl.Nfgenmsg{})
	answers, err := req.Execute(unix.NETLINK_NETFILTER, 0)
	if err != nil {
		return 0, fmt.Errorf("generation of nf_tables: %w", err)
	}
	for _, a := range answers {
		if len(a) < nl.SizeofNfgenmsg {
			continue
		}
		attrs, err := nl.ParseRouteAttr(a[nl.SizeofNfgenmsg:])
		if err != nil {
			return 0, fmt.Errorf("generation of nf_tables: %w", err)
		}
		for _, attr := range attrs {
			if attr.Attr.Type == unix.NFTA_GEN_ID && len(attr.Value) == 4 {
				return stamp(binary.BigEndian.Uint32(attr.Value)), nil
			}
		}
	}
	return 0, fmt.Errorf("generation of nf_tables: the kernel does not tell")
}
