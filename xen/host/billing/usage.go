package billing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
)

// Usage is what a guest has used in a period.
type Usage struct {
	Download int64         `json:"download"` // bytes to the guest
	Upload   int64         `json:"upload"`   // bytes from the guest
	CPU      time.Duration `json:"cpu"`
}

// Meter knows what guests have used: a ledger of package accounting, or the
// panel's own. Guests that it does not know are left out of the answer.
type Meter interface {
	Usage(ctx context.Context, guests []uuid.UUID, from, to time.Time) (map[uuid.UUID]Usage, error)
}

// Row is one order's share of a period.
type Row struct {
	Ref
	Guest  uuid.UUID `json:"guest"`
	Name   string    `json:"name"`
	Memory int64     `json:"memory"` // bytes that it is sold
	Disk   int64     `json:"disk"`   // bytes of all its disks
	Usage
	// Metered is false if the meter does not know the guest.
	Metered bool `json:"metered"`
}

// Usage returns what each order of this host has used from one time to another,
// by one question to the meter. Guests without an order are left out, and those
// that were handed to another host.
func (d *Desk) Usage(ctx context.Context, from, to time.Time) (rows []Row, err error) {
	err = d.call(ctx, "usage", Ref{}, func() error {
		if d.config.Meter == nil {
			return fmt.Errorf("this desk has no meter: %w", errors.ErrUnsupported)
		}
		guests, err := d.host.Guests(ctx)
		if err != nil {
			return err
		}
		var ids []uuid.UUID
		for _, s := range guests {
			r := Ref{Order: s.Guest.Labels[labelOrder], Customer: s.Guest.Labels[labelCustomer]}
			if s.Owner.MayRun() != nil || r.Order == "" {
				continue
			}
			row := Row{Ref: r, Guest: s.Guest.UUID, Name: s.Guest.Name, Memory: s.Guest.Memory}
			for _, disk := range s.Guest.Disks {
				row.Disk += disk.Size
			}
			rows, ids = append(rows, row), append(ids, row.Guest)
		}
		used, err := d.config.Meter.Usage(ctx, ids, from, to)
		for i := range rows {
			rows[i].Usage, rows[i].Metered = used[rows[i].Guest], hasKey(used, rows[i].Guest)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

func hasKey(m map[uuid.UUID]Usage, id uuid.UUID) bool {
	_, ok := m[id]
	return ok
}

// Pong is the answer to a Ping.
type Pong struct {
	Host   string       `json:"host"`
	Xen    xen.HostInfo `json:"xen"`
	Memory int64        `json:"memory"` // bytes that can still be sold
	Guests int          `json:"guests"` // that it runs or has promised to
}

// Ping says that the host answers: its hypervisor, its volume groups and its
// definitions can be read.
func (d *Desk) Ping(ctx context.Context) (p Pong, err error) {
	err = d.call(ctx, "ping", Ref{}, func() error {
		left, err := d.host.Capacity(ctx)
		if err != nil {
			return err
		}
		p = Pong{Host: d.host.Name(), Memory: max(0, left.ForSale()), Guests: len(left.Guests)}
		p.Xen, err = d.host.Info(ctx)
		return err
	})
	return p, err
}
