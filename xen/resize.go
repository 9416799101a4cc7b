package xen

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Resizer changes what a running domain has, between what it was started with
// and its maximum. Both verbs ask the guest and wait until it has done so;
// ErrNoAnswer: it has not, and the request stands.
type Resizer interface {
	// SetMemory asks the guest to have so many bytes, a multiple of 1 MiB.
	// ErrInvalid: more than its MaxMemory; ErrNoMemory: more than the host has;
	// ErrBusy: it does not run.
	SetMemory(ctx context.Context, id uuid.UUID, bytes int64) error
	// SetVCPUs asks the guest to use n of its vCPUs. ErrInvalid: more than its
	// MaxVCPUs.
	SetVCPUs(ctx context.Context, id uuid.UUID, n int) error
}

// Scheduler says how domains share the CPUs of the host. Changes last until
// the domain is started anew.
type Scheduler interface {
	// VCPUs returns the vCPUs of a domain, by number.
	VCPUs(ctx context.Context, id uuid.UUID) ([]VCPU, error)
	// Pin lets a vCPU run on the CPUs of hard only, and on those of soft where
	// it can choose. ErrInvalid: the host or the domain has no such CPU.
	Pin(ctx context.Context, id uuid.UUID, vcpu int, hard, soft CPUSet) error
	// Share returns what part of the CPUs a domain gets.
	Share(ctx context.Context, id uuid.UUID) (Share, error)
	// SetShare changes it. errors.ErrUnsupported: the host's scheduler has no
	// weights.
	SetShare(ctx context.Context, id uuid.UUID, s Share) error
}

// VCPU is one virtual CPU of a domain.
type VCPU struct {
	Number  int           `json:"number"`
	Online  bool          `json:"online"`
	CPUTime time.Duration `json:"cpu_time"` // xl shows tenths of a second
	Hard    CPUSet        `json:"hard"`     // where it may run
	Soft    CPUSet        `json:"soft"`     // where it should run
}

// Share is what part of the host's CPUs a domain gets.
type Share struct {
	Weight int `json:"weight"` // against the weights of others when all want to run: 1 to 65535
	Cap    int `json:"cap"`    // most that it gets even then, in percent of one CPU; 0 is no limit
}
