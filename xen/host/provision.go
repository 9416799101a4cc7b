package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/xen/host/capacity"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// ProvisionOptions changes how Provision works; nil is empty volumes and a
// guest that is started.
type ProvisionOptions struct {
	// Images gives what stands at the start of a disk, by Disk.Dev: raw bytes,
	// at most as many as the disk has. The rest of the disk reads as zeros.
	Images map[string]io.Reader
	// Progress is called after each piece of an image; done is in bytes.
	Progress func(dev string, done int64)
	// Stopped leaves the guest off.
	Stopped bool
}

// Provision makes a guest: its volumes, its ports, forwards and rates, its definition
// and owner record, and starts it. A failure takes everything back. What a
// crash in the middle left is taken back by the next Provision with the same
// UUID, or by Terminate; it never starts.
//
// fs.ErrExist: a guest of this UUID or name is here already. xen.ErrNoMemory and
// lvm.ErrNoSpace: the host has not got so much that is not promised (see package
// capacity); nothing was begun.
func (h *Host) Provision(ctx context.Context, g Guest, opts *ProvisionOptions) (Guest, error) {
	if opts == nil {
		opts = &ProvisionOptions{}
	}
	g = g.withDefaults()
	if g.UUID == uuid.Nil {
		g.UUID = uuid.New()
	}
	g.Off = opts.Stopped
	if err := g.Validate(); err != nil {
		return Guest{}, &Error{Op: "provision", Name: g.Name, Err: err}
	}
	l, err := h.Hold(g.UUID)
	if err != nil {
		return Guest{}, err
	}
	defer l.Release()
	if err := l.provision(ctx, &g, opts); err != nil {
		return Guest{}, &Error{Op: "provision", Name: g.Name, Err: err}
	}
	return g, nil
}

func (l *Hold) provision(ctx context.Context, g *Guest, opts *ProvisionOptions) error {
	claim, err := l.beginBuilding(ctx, *g)
	if err != nil {
		return err
	}
	defer claim.Release()
	err = l.build(ctx, g, opts)
	if err == nil {
		return nil
	}
	// The caller's context may be what ended it; taking back has time of its own.
	back, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	return errors.Join(err, l.demolish(back, *g))
}

// beginBuilding refuses a taken name or UUID, clears what a crashed attempt
// left, claims what is needed, and records the new guest before anything of it
// exists.
func (l *Hold) beginBuilding(ctx context.Context, g Guest) (*capacity.Held, error) {
	r, err := l.Record()
	if err != nil {
		return nil, err
	}
	switch r.State {
	case "", owner.Building:
	default:
		return nil, fmt.Errorf("%w: guest %s is %s here", fs.ErrExist, g.UUID, r.State)
	}
	if err := l.h.nameFree(g); err != nil {
		return nil, err
	}
	if len(g.Shared) > 0 {
		if err := l.h.Fits(ctx, g); err != nil {
			return nil, err
		}
	}
	if r.State == owner.Building {
		if old, err := l.h.guests.get(g.UUID, own); err == nil {
			if err := l.demolish(ctx, old); err != nil {
				return nil, err
			}
		}
	}
	return l.h.admit(ctx, g, "provision", false, func() error {
		if err := l.h.nameFree(g); err != nil { // of two that ask at once, the second
			return err
		}
		if err := l.h.guests.put(g, own); err != nil {
			return err
		}
		return l.SetRecord(owner.Record{UUID: g.UUID, State: owner.Building, Epoch: 1})
	})
}

// nameFree refuses the name of another guest, also of one that is arriving.
func (h *Host) nameFree(g Guest) error {
	records, err := h.owners.List()
	if err != nil {
		return err
	}
	for _, r := range records {
		if r.UUID == g.UUID || r.State == owner.Aborted || r.State == owner.Fenced || r.State == owner.Released {
			continue
		}
		other, err := h.definition(r.UUID)
		if err == nil && other.Name == g.Name {
			return fmt.Errorf("%w: guest %s has the name %s", fs.ErrExist, other.UUID, g.Name)
		}
	}
	return nil
}

func (l *Hold) build(ctx context.Context, g *Guest, opts *ProvisionOptions) error {
	h := l.h
	for i, d := range g.Disks {
		size, err := h.makeDisk(ctx, g.UUID, d, opts)
		if err != nil {
			return err
		}
		g.Disks[i].Size = size
	}
	if err := h.guests.put(*g, own); err != nil { // sizes are known now
		return err
	}
	if err := h.setNetwork(ctx, *g); err != nil {
		return err
	}
	if err := h.shape(ctx, *g); err != nil {
		return err
	}
	if err := l.SetRecord(owner.Record{UUID: g.UUID, State: owner.Running, Epoch: 1}); err != nil {
		return err
	}
	if opts.Stopped {
		return nil
	}
	_, err := l.start(ctx)
	return err
}

// makeDisk makes the volume of a disk with its image, and returns its size. Until
// it is complete nothing starts from it.
func (h *Host) makeDisk(ctx context.Context, guest uuid.UUID, d Disk, opts *ProvisionOptions) (size int64, err error) {
	v, err := h.volumes.Create(ctx, lvm.Spec{
		ID: d.Volume, Size: d.Size, Pool: d.Pool, Tags: []string{guestTag(guest), stateBuilding},
	})
	if err != nil {
		return 0, err
	}
	if image := opts.Images[d.Dev]; image != nil {
		if err := h.write(ctx, v, image, func(done int64) {
			if opts.Progress != nil {
				opts.Progress(d.Dev, done)
			}
		}); err != nil {
			return 0, fmt.Errorf("image of %s: %w", d.Dev, err)
		}
	}
	return v.Size, h.mark(ctx, v, "", 0)
}

// write copies an image to the start of a fresh volume; pieces of zeros are
// skipped, since a fresh volume reads as zeros.
func (h *Host) write(ctx context.Context, v lvm.Volume, image io.Reader, progress func(int64)) (err error) {
	dev, err := h.volumes.Open(ctx, v.ID)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dev.Close()) }()
	piece, zeros := make([]byte, 1<<20), make([]byte, 1<<20)
	for done := int64(0); ; {
		n, readErr := fill(piece, image)
		if done+int64(n) > v.Size {
			return fmt.Errorf("%w: it is larger than the disk (%d bytes)", ErrInvalid, v.Size)
		}
		if !bytes.Equal(piece[:n], zeros[:n]) {
			if _, err := dev.WriteAt(piece[:n], done); err != nil {
				return err
			}
		}
		done += int64(n)
		progress(done)
		if errors.Is(readErr, io.EOF) {
			return dev.Sync()
		}
		if err := errors.Join(readErr, ctx.Err()); err != nil {
			return err
		}
	}
}

// fill reads until piece is full or r ends. Unlike io.ReadFull it keeps apart
// the end (io.EOF) and what a decompressor says of a truncated image
// (io.ErrUnexpectedEOF).
func fill(piece []byte, r io.Reader) (n int, err error) {
	for n < len(piece) && err == nil {
		var m int
		m, err = r.Read(piece[n:])
		n += m
	}
	return n, err
}
