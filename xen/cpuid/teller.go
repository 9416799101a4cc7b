package cpuid

import (
	"context"

	"github.com/google/uuid"
)

// Teller is a driver that can tell what CPUs its host has to give, and what one
// domain was given. A move that takes a domain's memory along asks both hosts.
type Teller interface {
	// CPU is what the host has to give since its last boot: microcode and Xen's
	// command line can change it, so it is never kept.
	CPU(ctx context.Context) (Host, error)
	// CPUOf is the policy of a running domain, or fs.ErrNotExist.
	CPUOf(ctx context.Context, id uuid.UUID) (Policy, error)
}
