package xen

import (
	"context"

	"github.com/google/uuid"
)

// Devices changes the disks and vifs of a domain while it runs. What is
// attached stays across reboots of the guest and is part of what Config shows.
//
// When an attach fails, what it left is taken away again; if that is not
// possible the error matches ErrDirty, and the domain shows a device that does
// not work.
type Devices interface {
	// AttachDisk gives the domain a disk. fs.ErrExist: its name is taken;
	// ErrBusy: another domain, or this one under another name, uses the path
	// and one of the two would write; ErrInvalid: the path is not there.
	AttachDisk(ctx context.Context, id uuid.UUID, d Disk) error
	// DetachDisk takes the disk with this name away, as xvdb. ErrBusy: the
	// guest does not let go of it; have it unmounted. fs.ErrNotExist: no such
	// domain or no such disk.
	DetachDisk(ctx context.Context, id uuid.UUID, dev string) error
	// AttachVif gives the domain a network interface. fs.ErrExist: its MAC or
	// its name is taken; ErrInvalid: there is no such bridge.
	AttachVif(ctx context.Context, id uuid.UUID, v Vif) error
	// DetachVif takes the vif with this address away.
	DetachVif(ctx context.Context, id uuid.UUID, mac MAC) error
}

// Media changes what lies in the CD-ROM drives of an HVM domain. PVH and PV
// domains have no such drives (errors.ErrUnsupported): to them an image is a
// read-only disk, to be swapped by Devices.DetachDisk and AttachDisk.
type Media interface {
	// Insert puts the image at path, a file that ends in .iso, into the drive,
	// in place of what is there. fs.ErrNotExist: the domain or the drive is not
	// there; ErrInvalid: the image is not. After another failure the drive can
	// be empty.
	Insert(ctx context.Context, id uuid.UUID, dev, path string) error
	// Eject leaves the drive empty.
	Eject(ctx context.Context, id uuid.UUID, dev string) error
}
