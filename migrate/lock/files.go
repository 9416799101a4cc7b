package lock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/durable"
)

// Files is a Locker for the programs of one machine: an flock on UUID.lock in a
// folder, which ends with its owner, however that ends. The folder must be on a
// local disk, since UUID.token beside it counts the leases.
type Files struct{ dir string }

var _ Locker = (*Files)(nil)

// NewFiles returns the Locker in dir, which is made when it is needed.
func NewFiles(dir string) *Files { return &Files{dir: dir} }

// Acquire implements Locker.
func (f *Files) Acquire(ctx context.Context, guest uuid.UUID) (Lease, error) {
	l, err := f.acquire(ctx, guest)
	if err != nil {
		return nil, fmt.Errorf("lock of guest %s: %w", guest, err)
	}
	return l, nil
}

func (f *Files) acquire(ctx context.Context, guest uuid.UUID) (_ *fileLease, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := durable.MkdirAll(f.dir); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(f.dir, guest.String()+".lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrBusy
		}
		return nil, err
	}
	token, err := count(filepath.Join(f.dir, guest.String()+".token"))
	if err != nil {
		return nil, err
	}
	return &fileLease{file: file, token: token, lost: make(chan struct{})}, nil
}

// count adds one to the number in a file. What can not be read is no number to
// go on from.
func count(path string) (uint64, error) {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	var last uint64
	if err == nil {
		if last, err = strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64); err != nil {
			return 0, fmt.Errorf("token %s: %w", path, err)
		}
	}
	return last + 1, durable.WriteFile(path, []byte(strconv.FormatUint(last+1, 10)+"\n"))
}

type fileLease struct {
	token uint64
	lost  chan struct{} // never closed: the kernel takes no flock away

	mu   sync.Mutex
	file *os.File // nil: released
}

// Token implements Lease.
func (l *fileLease) Token() uint64 { return l.token }

// Lost implements Lease.
func (l *fileLease) Lost() <-chan struct{} { return l.lost }

// Check implements Lease. A lock file that was removed by hand holds nobody off.
func (l *fileLease) Check(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if l.file == nil {
		return ErrLost
	}
	ours, err := l.file.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(l.file.Name())
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(ours, there) {
		return fmt.Errorf("%w: %s was removed", ErrLost, l.file.Name())
	}
	return err
}

// Release implements Lease.
func (l *fileLease) Release() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}
