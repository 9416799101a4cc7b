package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/xenhost/xenhost/internal/durable"
)

// ErrStale: somebody who got the fleet's lock of the guest later has held it here.
var ErrStale = errors.New("the lock of the guest went to another one meanwhile")

// Claim says with which fencing token of a lock that several hosts share the
// guest is held here. A token that is lower than one that was claimed before is
// refused (ErrStale): its owner has lost the lock and does not know it. The
// highest one is kept as UUID.token beside the definition, durably, and stays
// when the guest is terminated. All who claim a guest must use one and the same
// lock; a hold without a claim is not compared.
func (l *Hold) Claim(token uint64) error {
	if err := l.claim(token); err != nil {
		return &Error{Op: "claim", Name: l.name(), Err: err}
	}
	return nil
}

func (l *Hold) claim(token uint64) error {
	path := l.h.guests.path(l.id, ".token")
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var last uint64
	if err == nil {
		if last, err = strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64); err != nil {
			return fmt.Errorf("fencing token %s: %w", path, err)
		}
	}
	switch {
	case token < last:
		return fmt.Errorf("%w: token %d, the last one here was %d", ErrStale, token, last)
	case token == last:
		return nil
	}
	return durable.WriteFile(path, []byte(strconv.FormatUint(token, 10)+"\n"))
}
