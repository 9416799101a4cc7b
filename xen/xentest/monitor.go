package xentest

import (
	"fmt"
	"io/fs"
	"maps"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
)

// LoseMonitor takes away the toolstack's process that watches the domain, as
// any suspend does before Xen 4.20: when the guest powers off, reboots or
// crashes, its domain stays on the list, shut down, until somebody acts. The
// next domain of the guest has one again.
func (f *Fake) LoseMonitor(id uuid.UUID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.find(id)
	if d == nil {
		return fmt.Errorf("xentest: monitor of %s: %w", id, fs.ErrNotExist)
	}
	if f.alone == nil {
		f.alone = make(map[*domain]bool)
	}
	maps.DeleteFunc(f.alone, func(d *domain, _ bool) bool { return f.domains[d.id] != d })
	f.alone[d] = true
	return nil
}

// after is what becomes of a domain that shut down for this reason. It needs
// f.mu.
func (f *Fake) after(d *domain, why xen.Reason) string {
	if f.alone[d] {
		return "preserve"
	}
	return d.after(why)
}
