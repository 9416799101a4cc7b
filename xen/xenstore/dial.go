package xenstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Options of a client; nil is right for a dom0.
type Options struct {
	// Path is xenstored's socket, or the kernel's device. "" is looked for:
	// $XENSTORED_PATH, $XENSTORED_RUNDIR/socket, /run/xenstored/socket, then
	// /dev/xen/xenbus and /proc/xen/xenbus, which is all that a guest, or a
	// host whose xenstored is a domain of its own, has.
	Path string
	// Limit ends a call whose context has no earlier deadline; 0 is 30 s.
	Limit time.Duration
}

// Dial connects to xenstored. fs.ErrNotExist: this is no Xen domain, or
// xenstored is not started yet.
func Dial(ctx context.Context, opts *Options) (*Client, error) {
	if opts == nil {
		opts = &Options{}
	}
	c, err := dial(ctx, opts)
	return c, wrap("dial", opts.Path, err)
}

func dial(ctx context.Context, opts *Options) (*Client, error) {
	tried := candidates(opts.Path)
	for _, path := range tried {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if info.Mode()&fs.ModeSocket == 0 {
			return openDevice(path, opts)
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
		if err != nil {
			return nil, err
		}
		return NewClient(conn, opts), nil
	}
	return nil, fmt.Errorf("%w: none of %v", fs.ErrNotExist, tried)
}

func candidates(path string) []string {
	if path != "" {
		return []string{path}
	}
	var all []string
	if p := os.Getenv("XENSTORED_PATH"); p != "" {
		all = append(all, p)
	}
	if dir := os.Getenv("XENSTORED_RUNDIR"); dir != "" {
		all = append(all, filepath.Join(dir, "socket"))
	}
	return append(all, "/run/xenstored/socket", "/dev/xen/xenbus", "/proc/xen/xenbus")
}

func openDevice(path string, opts *Options) (*Client, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() && info.Mode()&fs.ModeDir == 0 {
		return newClient(f, true, opts), nil
	}
	return nil, errors.Join(fmt.Errorf("%w: neither a socket nor a device", ErrInvalid), f.Close())
}
