package network

import (
	"strconv"

	"github.com/google/uuid"
)

// MaxPorts is how many ports a guest can have, so that VifName stays within
// the 11 bytes that Xen can use (it adds "-emu" for HVM guests).
const MaxPorts = 36

// VifName is the name in dom0 of a guest's vif, for vifname= in xl.cfg: "x",
// the first eight digits of the UUID, a dot and the index (0 to 9, then a to
// z). It is the same on every host, so that rules and ledgers can name a vif
// before it exists. It is empty for an index that is out of range.
//
// Two UUIDs can share their first eight digits; the second one's Set is then
// refused with ErrConflict.
func VifName(id uuid.UUID, index int) string {
	if index < 0 || index >= MaxPorts {
		return ""
	}
	return "x" + id.String()[:8] + "." + strconv.FormatInt(int64(index), 36)
}
