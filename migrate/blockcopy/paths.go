package blockcopy

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
)

// Paths opens targets by their path on this machine, for Serve: whoever may
// write to conn may then write to every device and file that this process may.
type Paths struct {
	// State is the folder for what replicas remember, a folder each. Empty
	// is a hidden folder beside a file, .NAME.blockcopy, and
	// /var/lib/xenhost/blockcopy for devices.
	State string
}

// Open is for Serve. A target that is written in place forgets the generation
// that it held, before anything is written.
func (p Paths) Open(ctx context.Context, r Request) (_ *Target, err error) {
	f, fresh, err := OpenTarget(r.Path, r.Size)
	if err != nil {
		return nil, err
	}
	t := &Target{Volume: f, Fresh: fresh, Close: f.Close}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Close())
		}
	}()
	dir, err := p.folder(r.Path, f.device)
	if err != nil {
		return nil, err
	}
	if !r.Replica && !hasState(dir) {
		return t, nil
	}
	store, err := OpenStore(dir)
	if err != nil {
		return nil, err
	}
	t.Close = func() error { return errors.Join(f.Close(), store.Close()) }
	replica, err := OpenReplica(ctx, f, store)
	if err != nil {
		return nil, err
	}
	if fresh || !r.Replica { // what the folder says is of a volume that is gone, or will be
		if err := replica.Forget(); err != nil {
			return nil, err
		}
	}
	if r.Replica {
		t.Replica = replica
	}
	return t, nil
}

// folder is where a target's state is.
func (p Paths) folder(path string, device bool) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if p.State == "" && !device {
		return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".blockcopy"), nil
	}
	dir := p.State
	if dir == "" {
		dir = "/var/lib/xenhost/blockcopy"
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, url.PathEscape(path)), nil
}
