package migratetest

import (
	"os"
	"path/filepath"

	"github.com/xenhost/xenhost/xen/host"
)

func (w *World) sharedDir() string { return filepath.Join(w.dir, "shared") }

// Share makes a disk of zeros that all hosts of the World see, as an iSCSI LUN
// would be, for Guest.Shared. It has no power to lose: what is written is there.
func (w *World) Share(dev, name string, size int64) (host.SharedDisk, error) {
	d := host.SharedDisk{Dev: dev, Path: filepath.Join(w.sharedDir(), name), Size: size}
	if err := os.MkdirAll(w.sharedDir(), 0o700); err != nil {
		return d, err
	}
	f, err := os.OpenFile(d.Path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return d, err
	}
	defer f.Close()
	return d, f.Truncate(size)
}
