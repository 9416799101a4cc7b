package xen

import "context"

// Checker is a driver that can tell beforehand whether Create could start a
// domain on this host. Moves ask the target before anything is copied.
type Checker interface {
	// Check refuses what Create would refuse, as far as it can be seen without
	// trying: an invalid spec, a kernel, ramdisk or bridge that is not there
	// (fs.ErrNotExist), a taken name or UUID (fs.ErrExist), too little memory
	// (ErrNoMemory). The paths of disks are not looked at.
	Check(ctx context.Context, spec Spec) error
}
