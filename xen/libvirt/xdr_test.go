package libvirt

import (
	"encoding/binary"

	rpc "github.com/digitalocean/go-libvirt"
)

// xdr builds an answer.
type xdr []byte

func (x xdr) u32(v uint32) xdr { return binary.BigEndian.AppendUint32(x, v) }
func (x xdr) u64(v uint64) xdr { return binary.BigEndian.AppendUint64(x, v) }

func (x xdr) bool(v bool) xdr {
	if v {
		return x.u32(1)
	}
	return x.u32(0)
}

func (x xdr) str(s string) xdr {
	x = append(x.u32(uint32(len(s))), s...)
	return append(x, make([]byte, (4-len(s)%4)%4)...)
}

func (x xdr) domain(d rpc.Domain) xdr {
	return append(x.str(d.Name), d.UUID[:]...).u32(uint32(d.ID))
}
