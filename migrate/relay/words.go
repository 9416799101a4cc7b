package relay

import (
	"errors"
	"fmt"
	"io"
)

// What the halves of xl migrate say to each other (tools/xl/xl_migrate.c), byte
// for byte.
const (
	SayBanner = "xl migration receiver ready, send binary domain data.\n"
	SayReady  = "domain received, ready to unpause\x00"
	SayGo     = "domain is yours, you are cleared to unpause\x00"
	SayReport = "my copy unpause results are as follows\x00" // and one byte: 0 is well
)

var (
	// ErrProtocol: what arrived is not what must come now.
	ErrProtocol = errors.New("not the protocol of a migration")
	// ErrSilent: nothing was heard for too long.
	ErrSilent = errors.New("no sign of life")
	// ErrTarget: the target could not take the domain or let it run; its own
	// words are in the text.
	ErrTarget = errors.New("the target gave up")
)

// expect reads words that must come now.
func expect(r io.Reader, words string) error {
	got := make([]byte, len(words))
	n, err := io.ReadFull(r, got)
	switch {
	case err != nil && n == 0:
		return err
	case string(got[:n]) != words[:n]:
		return fmt.Errorf("%w: %q comes where %q belongs", ErrProtocol, got[:n], words)
	case err != nil:
		return fmt.Errorf("%w: it ended behind %q: %w", ErrProtocol, got[:n], err)
	}
	return nil
}
