package host

import (
	"os"

	"github.com/xenhost/xenhost/internal/durable"
)

// Scratch returns an empty folder beside the guest's definition, for what a move
// needs while it holds the guest, as the hashes of a copy: 0.4 % of a disk.
// Release removes it; what a process that was killed left is removed by the next
// Scratch.
func (l *Hold) Scratch() (string, error) {
	dir := l.h.guests.path(l.id, ".scratch")
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	if err := durable.MkdirAll(dir); err != nil {
		return "", err
	}
	l.scratch = dir
	return dir, nil
}
