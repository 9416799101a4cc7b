package privcmd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
)

// Of xen/include/public/sysctl.h and xen.h.
const (
	sysctlVersion  = 0x15
	sysctlListInfo = 6  // XEN_SYSCTL_getdomaininfolist
	hypercall      = 35 // __HYPERVISOR_sysctl
)

// The shared buffer: the request in its first page, the answer in the others,
// with room for more bytes a domain than any version has.
const (
	listAt   = pageSize
	listSize = 32 * pageSize
	perCall  = listSize / 512
)

// device is the kernel's side: it maps memory that the hypervisor may write to,
// and makes the call.
type device interface {
	call(op, arg uint64) error
	buffer() (memory []byte, address uint64)
	Close() error
}

// Hypervisor is the connection to Xen. It is safe for concurrent use.
type Hypervisor struct {
	mu  sync.Mutex
	dev device // nil: closed
}

var _ xen.Lister = (*Hypervisor)(nil)

// Open opens /dev/xen/privcmd. Errors: fs.ErrNotExist (not a Xen host),
// fs.ErrPermission (not root, or not dom0), errors.ErrUnsupported (a Xen whose
// layout this package does not know).
func Open() (*Hypervisor, error) {
	dev, err := openDevice()
	if err != nil {
		return nil, wrap("open", err)
	}
	return open(dev)
}

func open(dev device) (*Hypervisor, error) {
	h := &Hypervisor{dev: dev}
	if err := h.measure(); err != nil {
		return nil, wrap("open", errors.Join(err, dev.Close()))
	}
	return h, nil
}

// Close gives the device back.
func (h *Hypervisor) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dev == nil {
		return nil
	}
	dev := h.dev
	h.dev = nil
	return dev.Close()
}

// List implements xen.Lister. Names are empty.
func (h *Hypervisor) List(ctx context.Context) ([]xen.Domain, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	domains := []xen.Domain{}
	for first := uint16(1); ; { // dom0 is not listed
		if err := ctx.Err(); err != nil {
			return nil, wrap("list", err)
		}
		list, n, err := h.fetch(first, perCall)
		if err != nil {
			return nil, wrap("list", err)
		}
		for i := range n {
			domains = append(domains, parse(list[i*infoSize:(i+1)*infoSize]))
		}
		last := 0
		if n > 0 {
			last = domains[len(domains)-1].ID
		}
		if n < perCall || last < int(first) || last == 1<<16-1 {
			return domains, nil
		}
		first = uint16(last) + 1
	}
}

// Lookup implements xen.Lister.
func (h *Hypervisor) Lookup(ctx context.Context, id uuid.UUID) (xen.Domain, error) {
	domains, err := h.List(ctx)
	if err != nil {
		return xen.Domain{}, err
	}
	best := -1
	for i, d := range domains {
		if d.UUID == id && (best < 0 || !over(d) && over(domains[best])) {
			best = i
		}
	}
	if best < 0 {
		return xen.Domain{}, &xen.Error{Op: "lookup", Name: id.String(), Err: fs.ErrNotExist}
	}
	return domains[best], nil
}

// over tells that a domain does not run any more: another one of the same UUID
// is the guest then.
func over(d xen.Domain) bool {
	return d.State == xen.Stopped || d.State == xen.Crashed || d.State == xen.Dying || d.State == xen.Suspended
}

// fetch asks for up to most domains from a domid on. It needs h.mu.
func (h *Hypervisor) fetch(first uint16, most uint32) (list []byte, n uint32, err error) {
	if h.dev == nil {
		return nil, 0, os.ErrClosed
	}
	memory, address := h.dev.buffer()
	request := memory[:136] // struct xen_sysctl
	clear(request)
	binary.LittleEndian.PutUint32(request[0:], sysctlListInfo)
	binary.LittleEndian.PutUint32(request[4:], sysctlVersion)
	binary.LittleEndian.PutUint16(request[8:], first)
	binary.LittleEndian.PutUint32(request[12:], most)
	binary.LittleEndian.PutUint64(request[16:], address+listAt)
	if err := h.dev.call(hypercall, address); err != nil {
		return nil, 0, err
	}
	if n = binary.LittleEndian.Uint32(request[24:]); n > most {
		return nil, 0, fmt.Errorf("xen answers with %d domains, %d at most were asked for", n, most)
	}
	return memory[listAt:], n, nil
}

// measure checks that Xen writes what this package reads: one domain, dom0, in
// infoSize bytes and not one more or less.
func (h *Hypervisor) measure() error {
	const paint = 0xa5
	memory, _ := h.dev.buffer()
	for i := range memory[listAt:] {
		memory[listAt+i] = paint
	}
	list, n, err := h.fetch(0, 1)
	if err != nil {
		return err
	}
	size := len(bytes.TrimRight(list, string([]byte{paint})))
	dom0 := parse(list[:infoSize])
	if n != 1 || size != infoSize || dom0.ID != 0 || dom0.VCPUs == 0 || dom0.Memory == 0 {
		return fmt.Errorf("%w: xen describes %d domains in %d bytes, not dom0 in %d", errors.ErrUnsupported, n, size, infoSize)
	}
	return nil
}

func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return &xen.Error{Op: op, Err: fmt.Errorf("privcmd: %w", err)}
}
