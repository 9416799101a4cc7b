package verb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
)

// ErrOtherwise: the toolstack reports no failure, and the drive is not as it
// should be.
var ErrOtherwise = errors.New("it was done without an error, and the drive is not as it should be")

// Drive is Insert and Eject of a domain that nobody else works on: change puts
// the image at path, which valid looked at, into the drive, or nothing. What
// lies in it then is read back by config: ErrOtherwise.
func (v *Verbs) Drive(ctx context.Context, id uuid.UUID, dev, path string, config func() (xen.Spec, error), valid, change func() error) error {
	now, err := config()
	switch {
	case err != nil:
		return err
	case now.Type != xen.HVM:
		return fmt.Errorf("a %s domain has no CD-ROM drive; attach the image as a read-only disk: %w", now.Type, errors.ErrUnsupported)
	case !xen.ValidDrive(dev):
		return Refused("dev", dev, "is not hda to hdd")
	}
	if err := valid(); err != nil {
		return err
	}
	if drive(now, dev) < 0 {
		return fmt.Errorf("it has no drive %s: %w", dev, fs.ErrNotExist)
	}
	if err := change(); err != nil {
		return err
	}
	if now, err = config(); err != nil {
		return err
	}
	if at := drive(now, dev); at < 0 || now.Disks[at].Path != path {
		return ErrOtherwise
	}
	v.Log.InfoContext(ctx, "drive changed", "uuid", id, "dev", dev, "path", path)
	return nil
}

func drive(spec xen.Spec, dev string) int {
	return slices.IndexFunc(spec.Disks, func(x xen.Disk) bool { return x.Dev == dev && x.CDROM })
}
