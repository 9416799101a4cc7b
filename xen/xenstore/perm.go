package xenstore

import (
	"fmt"
	"strconv"
	"strings"
)

// Access is what a domain may do with a node that it does not own.
type Access byte

// The accesses as xenstore-ls -p prints them.
const (
	None      Access = 'n'
	Read      Access = 'r'
	Write     Access = 'w'
	ReadWrite Access = 'b'
)

// Perm is one entry of a node's permissions. The first entry names the owner,
// who may do everything, and what all domains may do that no later entry
// names. Dom0 may always do everything.
type Perm struct {
	Domain int // 0 to 32767
	Access Access
}

// String returns the entry as xenstored has it: r5.
func (p Perm) String() string { return string(rune(p.Access)) + strconv.Itoa(p.Domain) }

// ParsePerm reads one entry, as "r5".
func ParsePerm(s string) (Perm, error) {
	if len(s) < 2 || !strings.Contains("nrwb", s[:1]) {
		return Perm{}, fmt.Errorf("%w: permission %q", ErrInvalid, s)
	}
	n, err := strconv.ParseUint(s[1:], 10, 15)
	if err != nil {
		return Perm{}, fmt.Errorf("%w: permission %q", ErrInvalid, s)
	}
	return Perm{Domain: int(n), Access: Access(s[0])}, nil
}
