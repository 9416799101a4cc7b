package billing

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/image"
	"github.com/xenhost/xenhost/xen/host/owner"
	"github.com/xenhost/xenhost/xen/host/seed"
)

// Order is a guest that a customer has bought.
type Order struct {
	ID       string `json:"id"` // the panel's number of it
	Customer string `json:"customer"`
	// Guest is what is sold. Its UUID is left out: it follows from ID.
	Guest host.Guest `json:"guest"`
	// Images by Disk.Dev.
	Images map[string]image.Source `json:"images,omitempty"`
	// Seed, if there is one, becomes a small disk of its own, SeedDev (xvdp if it
	// is empty), beside the first one.
	Seed    *seed.Seed `json:"seed,omitempty"`
	SeedDev string     `json:"seed_dev,omitempty"`
}

// Ref is the order's number and customer.
func (o Order) Ref() Ref { return Ref{Order: o.ID, Customer: o.Customer} }

// Provision makes the guest of an order. Called again with the same order it
// returns the guest as it is now; with another order of that number it is
// fs.ErrExist. What a crash in the middle left is cleared away first.
func (d *Desk) Provision(ctx context.Context, o Order) (g host.Guest, err error) {
	err = d.call(ctx, "provision", o.Ref(), func() error {
		g, err = d.provision(ctx, o)
		return err
	})
	if err != nil {
		return host.Guest{}, err
	}
	return g, nil
}

func (d *Desk) provision(ctx context.Context, o Order) (host.Guest, error) {
	if o.Guest.UUID != uuid.Nil {
		return host.Guest{}, fmt.Errorf("%w: an order's guest gets its UUID from the order", ErrInvalid)
	}
	digest, err := o.digest()
	if err != nil {
		return host.Guest{}, err
	}
	s, err := d.find(ctx, o.Ref())
	switch {
	case err == nil && s.Guest.Labels[labelDigest] != digest:
		return host.Guest{}, fmt.Errorf("%w: the order was another one when it was provisioned", fs.ErrExist)
	case err == nil:
		return s.Guest, nil
	case s.Owner.State == owner.Building && s.Guest.UUID != uuid.Nil && mine(s.Guest, o.Ref()) != nil:
		return host.Guest{}, ErrIdentity
	case errors.Is(err, fs.ErrNotExist) || s.Owner.State == owner.Building:
	default:
		return host.Guest{}, err
	}
	g := o.Guest
	g.UUID = GuestOf(o.ID)
	g.Labels = maps.Clone(g.Labels)
	if g.Labels == nil {
		g.Labels = make(host.Labels)
	}
	maps.Copy(g.Labels, host.Labels{labelOrder: o.ID, labelCustomer: o.Customer, labelDigest: digest})
	m, err := open(ctx, o.Images)
	if err != nil {
		return host.Guest{}, err
	}
	defer m.close()
	if o.Seed != nil {
		if g.Disks, err = m.seed(g, *o.Seed, o.SeedDev); err != nil {
			return host.Guest{}, err
		}
	}
	return d.host.Provision(ctx, g, &host.ProvisionOptions{Images: m.readers})
}

func (o Order) digest() (string, error) {
	data, err := json.Marshal(o)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", sha256.Sum256(data)), nil
}

// media is what disks are made from.
type media struct {
	readers map[string]io.Reader
	files   []io.Closer
}

func open(ctx context.Context, sources map[string]image.Source) (*media, error) {
	m := &media{readers: make(map[string]io.Reader, len(sources)+1)}
	for _, dev := range slices.Sorted(maps.Keys(sources)) {
		img, err := image.Open(ctx, sources[dev])
		if err != nil {
			m.close()
			return nil, err
		}
		m.readers[dev], m.files = img, append(m.files, img)
	}
	return m, nil
}

func (m *media) close() {
	for _, f := range m.files {
		_ = f.Close() // read only
	}
}

// seed adds the disk that cloud-init reads, and returns the guest's disks with it.
func (m *media) seed(g host.Guest, s seed.Seed, dev string) ([]host.Disk, error) {
	if len(g.Disks) == 0 {
		return nil, fmt.Errorf("%w: a seed needs a disk beside it", ErrInvalid)
	}
	if dev == "" {
		dev = "xvdp"
	}
	iso, err := s.ISO(g.UUID.String())
	if err != nil {
		return nil, err
	}
	m.readers[dev] = bytes.NewReader(iso)
	return append(slices.Clone(g.Disks), seed.Disk(dev, g.Disks[0].Volume, iso)), nil
}
