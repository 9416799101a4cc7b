package billing

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"regexp"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/capacity"
)

// Host is what this package needs of a host; *host.Host is one. In a test of a
// panel it is a host.Host on fakes.
type Host interface {
	Name() string
	Info(ctx context.Context) (xen.HostInfo, error)
	Capacity(ctx context.Context) (capacity.Host, error)
	Guest(ctx context.Context, id uuid.UUID) (host.Status, error)
	Guests(ctx context.Context) ([]host.Status, error)
	Provision(ctx context.Context, g host.Guest, opts *host.ProvisionOptions) (host.Guest, error)
	SetLabels(ctx context.Context, id uuid.UUID, labels host.Labels) (host.Guest, error)
	Suspend(ctx context.Context, id uuid.UUID, why string) (xen.Ending, error)
	Unsuspend(ctx context.Context, id uuid.UUID) error
	ChangePlan(ctx context.Context, id uuid.UUID, p host.Plan, opts *host.PlanOptions) ([]host.Change, error)
	Reinstall(ctx context.Context, id uuid.UUID, opts *host.ProvisionOptions) error
	Wipe(ctx context.Context, id uuid.UUID) error
	Terminate(ctx context.Context, id uuid.UUID) error
}

// Config composes a Desk.
type Config struct {
	// StateDir holds orders/, as host.Config.StateDir does guests/. "" is
	// /var/lib/xenhost.
	StateDir string
	// Authorize is asked before each call; its error is the answer. nil allows
	// all.
	Authorize func(ctx context.Context, r Request) error
	// Meter knows what guests have used; without one Usage is
	// errors.ErrUnsupported.
	Meter Meter
	// Log gets one line a call, with who called; nil is silent.
	Log *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Request is a call, for Config.Authorize.
type Request struct {
	Actor string `json:"actor,omitempty"` // of As
	Verb  string `json:"verb"`            // as "terminate"
	Ref
}

// Ref says which order is meant, and whose it has to be.
type Ref struct {
	Order    string `json:"order"`
	Customer string `json:"customer"`
}

// What the packages below have no word for.
var (
	// ErrIdentity: the guest is not that customer's, or not of that name.
	ErrIdentity = errors.New("the guest is somebody else's")
	// ErrTerminated: the order has come to its end.
	ErrTerminated = errors.New("the order is terminated")
	// ErrInvalid: a number or a request is refused; nothing was tried.
	ErrInvalid = errors.New("invalid")
)

// Error says which verb failed for which order.
type Error struct {
	Op    string
	Order string
	Err   error
}

// Error reads as "billing: suspend order 4711: the guest is somebody else's".
func (e *Error) Error() string {
	if e.Order == "" {
		return fmt.Sprintf("billing: %s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("billing: %s order %s: %v", e.Op, e.Order, e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Answer is what a WHMCS module function returns: "success", or what went wrong.
func Answer(err error) string {
	if err == nil {
		return "success"
	}
	return err.Error()
}

// Desk takes orders for one host. It is safe for concurrent use.
type Desk struct {
	host   Host
	config Config
	ends   ends
	actor  string
}

// New makes a desk; nothing is read or changed before the first call.
func New(h Host, c Config) *Desk {
	if c.StateDir == "" {
		c.StateDir = "/var/lib/xenhost"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Desk{host: h, config: c, ends: ends{dir: filepath.Join(c.StateDir, "orders")}}
}

// As is the same desk for another caller.
func (d *Desk) As(actor string) *Desk {
	other := *d
	other.actor = actor
	return &other
}

// The labels that an order leaves on its guest.
const (
	labelOrder     = "billing.order"
	labelCustomer  = "billing.customer"
	labelDigest    = "billing.digest"    // of the Order, to know it again
	labelReinstall = "billing.reinstall" // the last job that was done
	labelDue       = "billing.due"       // when the grace of a termination ends
)

var number = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:@+-]{0,127}$`)

func (r Ref) validate() error {
	if !number.MatchString(r.Order) || !number.MatchString(r.Customer) {
		return fmt.Errorf("%w: order %.140q of customer %.140q: letters, digits and ._:@+-, at most 128", ErrInvalid, r.Order, r.Customer)
	}
	return nil
}

// GuestOf returns the UUID of the guest of an order, on whichever host it is.
func GuestOf(order string) uuid.UUID {
	space := uuid.MustParse("5e0f2f3c-7d0e-4c0b-9a51-6f3d2a1b8c47")
	return uuid.NewSHA1(space, []byte(order))
}

// call authorises a call, makes it, and writes it down.
func (d *Desk) call(ctx context.Context, verb string, r Ref, do func() error) error {
	start := d.config.Now()
	err := d.authorize(ctx, verb, r)
	refused := err != nil
	if err == nil {
		err = do()
	}
	args := []any{"verb", verb, "actor", d.actor, "order", r.Order, "customer", r.Customer, "took", d.config.Now().Sub(start)}
	if r.Order != "" {
		args = append(args, "guest", GuestOf(r.Order))
	}
	switch {
	case refused:
		d.config.Log.WarnContext(ctx, "refused", append(args, "error", err)...)
	case err != nil:
		d.config.Log.WarnContext(ctx, "failed", append(args, "error", err)...)
	default:
		d.config.Log.InfoContext(ctx, "done", args...)
	}
	if err != nil {
		return &Error{Op: verb, Order: r.Order, Err: err}
	}
	return nil
}

func (d *Desk) authorize(ctx context.Context, verb string, r Ref) error {
	if r != (Ref{}) {
		if err := r.validate(); err != nil {
			return err
		}
	}
	if d.config.Authorize == nil {
		return nil
	}
	return d.config.Authorize(ctx, Request{Actor: d.actor, Verb: verb, Ref: r})
}

// find returns the guest of an order, if it is that customer's and this host may
// change it.
func (d *Desk) find(ctx context.Context, r Ref) (host.Status, error) {
	over, err := d.ends.get(r.Order)
	switch {
	case err == nil && over.Customer != r.Customer:
		return host.Status{}, ErrIdentity
	case err == nil:
		return host.Status{}, fmt.Errorf("%w since %s", ErrTerminated, over.At.Format(time.RFC3339))
	case !errors.Is(err, fs.ErrNotExist):
		return host.Status{}, err
	}
	s, err := d.host.Guest(ctx, GuestOf(r.Order))
	if err != nil {
		return s, err
	}
	if err := s.Owner.MayRun(); err != nil {
		return s, err
	}
	return s, mine(s.Guest, r)
}

func mine(g host.Guest, r Ref) error {
	if g.Labels[labelOrder] != r.Order || g.Labels[labelCustomer] != r.Customer {
		return ErrIdentity
	}
	return nil
}

// active is find for verbs that a guest in the grace of its termination has not.
func (d *Desk) active(ctx context.Context, r Ref) (host.Status, error) {
	s, err := d.find(ctx, r)
	if err == nil && s.Guest.Labels[labelDue] != "" {
		err = fmt.Errorf("%w: its grace ends %s; revive it", ErrTerminated, s.Guest.Labels[labelDue])
	}
	return s, err
}
