package xen

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Configurer reads and changes what the toolstack remembers of a domain.
type Configurer interface {
	// Config returns what the domain is made of now, with its defaults written
	// out (see Spec.WithDefaults): devices that were attached and memory that
	// was changed since the start are in it. Of a domain that somebody else
	// started it holds what a Spec can.
	Config(ctx context.Context, id uuid.UUID) (Spec, error)
	// UpdateConfig makes spec what the domain will be after its next reboot,
	// once; the UUID in it says which domain it is. Its name must be the
	// present one.
	UpdateConfig(ctx context.Context, spec Spec) error
}

// Rebooter has the guest start again.
type Rebooter interface {
	// Reboot asks the guest to reboot, waits until it runs under a new domid,
	// and returns that. ErrNoAnswer: it did not within the grace. A domain whose
	// spec says OnReboot "destroy" or "preserve" is refused (ErrInvalid): it
	// would not come back.
	Reboot(ctx context.Context, id uuid.UUID, opts *RebootOptions) (Domain, error)
}

// RebootOptions bounds a Reboot; nil is the defaults.
type RebootOptions struct {
	Grace time.Duration // 0 is two minutes
}
