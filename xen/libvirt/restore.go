package libvirt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	rpc "github.com/digitalocean/go-libvirt"

	"github.com/xenhost/xenhost/xen"
)

// Restore implements xen.Saver. r is what Save of this package wrote. It goes to
// libvirtd through a pipe with a name, in a directory that nobody else can
// enter, behind a head that is made of spec: there is no file with the memory
// of the guest.
//
//	virDomainRestoreFlags, with VIR_DOMAIN_SAVE_PAUSED
//
// When ctx ends, or r fails, the pipe is closed, and libvirt removes what it had
// built. r should end where the image does: what follows may be read and is
// lost. libvirtd 9.0 was once seen to end when its image had a head and nothing
// behind it, so what does not begin as an image is refused before.
func (d *Driver) Restore(ctx context.Context, spec xen.Spec, r io.Reader, opts *xen.RestoreOptions) (back xen.Domain, err error) {
	spec = spec.Clone()
	err = d.make(ctx, "restore", spec, func(text string) error {
		if err := d.restores(ctx); err != nil {
			return err
		}
		back, err = d.restore(ctx, spec, text, r, opts != nil && opts.Paused)
		return err
	})
	if err != nil {
		return xen.Domain{}, err
	}
	d.verbs.Log.InfoContext(ctx, "domain restored", "name", back.Name, "uuid", back.UUID, "domid", back.ID)
	return back, nil
}

// restores refuses hosts whose driver is not Xen's: their images are others.
func (d *Driver) restores(ctx context.Context) error {
	p, err := d.platform(ctx)
	if err == nil && !p.isXen() {
		err = fmt.Errorf("this host's images are not Xen's: %w", errors.ErrUnsupported)
	}
	return err
}

func (d *Driver) restore(ctx context.Context, spec xen.Spec, text string, r io.Reader, paused bool) (back xen.Domain, err error) {
	if r, err = libxlStream(r); err != nil {
		return back, err
	}
	dir, err := os.MkdirTemp(d.opts.TempDir, "xenhost-restore-") // of mode 0700
	if err != nil {
		return back, err
	}
	defer os.RemoveAll(dir)
	pipe := filepath.Join(dir, "image")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		return back, fmt.Errorf("mkfifo %s: %w", pipe, err)
	}
	err = d.feed(ctx, pipe, imageHead(text), r, paused || sharesCPU(spec))
	if err == nil {
		if back, err = d.settle(ctx, spec, paused); err == nil {
			return back, nil
		}
	}
	if left := d.sweep(ctx, spec.UUID); left != nil {
		return back, fmt.Errorf("%w; %w: %w", err, xen.ErrDirty, left)
	}
	return back, d.diagnose(ctx, spec, false, err)
}

// libxlStream refuses what does not begin as libxl's streams do
// (docs/specs/libxl-migration-stream of Xen), before libvirtd sees it.
func libxlStream(r io.Reader) (io.Reader, error) {
	const begins = "LibxlFmt"
	first := make([]byte, len(begins))
	if _, err := io.ReadFull(r, first); err != nil {
		return nil, fmt.Errorf("the image ends at once: %w", err)
	}
	if string(first) != begins {
		return nil, fmt.Errorf("it is no image of Save: %w", xen.ErrInvalid)
	}
	return io.MultiReader(bytes.NewReader(first), r), nil
}

// feed has libvirtd restore from the pipe, and writes head and r into it.
func (d *Driver) feed(ctx context.Context, pipe string, head []byte, r io.Reader, paused bool) error {
	reading, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	fed := make(chan error, 1)
	go func() {
		err := d.fill(ctx, reading, pipe, head, r, fed)
		if err != nil {
			stop() // nobody reads
			return
		}
		limit, cancel := context.WithTimeout(reading, d.opts.Limits.Create)
		defer cancel()
		<-limit.Done() // the call has ended, or should have by now
		stop()
	}()
	flags := rpc.DomainSaveRestoreFlags(0)
	if paused {
		flags = rpc.DomainSavePaused
	}
	said := d.callUntil(reading, func(l *rpc.Libvirt) error { return l.DomainRestoreFlags(pipe, nil, uint32(flags)) })
	if said == nil {
		return nil
	}
	select {
	case err := <-fed:
		if err != nil {
			return fmt.Errorf("%w; %w", err, said)
		}
	default:
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w; %w", ctx.Err(), said)
	}
	if errors.Is(said, context.Canceled) {
		return hangs()
	}
	return said
}

// fill writes head and r to the pipe and closes it, whatever happens, so that
// libvirtd sees an end. Before that it says into fed what was wrong with r. An
// error: libvirtd does not open the pipe, or does not read on.
func (d *Driver) fill(ctx, reading context.Context, pipe string, head []byte, r io.Reader, fed chan<- error) error {
	f, err := d.openForReader(reading, pipe)
	if err != nil {
		fed <- err
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = f.Close() })
	defer stop()
	over := context.AfterFunc(reading, func() { _ = f.Close() })
	defer over()
	defer f.Close()
	out := &draining{f: f, stall: d.opts.Limits.Stall}
	if _, err = out.Write(head); err == nil {
		_, err = io.Copy(out, r)
	}
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case errors.Is(out.err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("libvirtd does not read on: %w", context.DeadlineExceeded)
		fed <- err
		return err
	case out.err != nil:
		err = nil // it reads no more: its answer says why
	}
	fed <- err
	return nil
}

// openForReader opens the pipe when libvirtd has, or is about to: a pipe that is
// written and closed before that is empty again, and the daemon would wait for
// ever.
func (d *Driver) openForReader(ctx context.Context, pipe string) (f *os.File, err error) {
	limit, cancel := context.WithTimeout(ctx, d.opts.Limits.Query)
	defer cancel()
	err = d.verbs.Until(limit, func() (bool, error) {
		f, err = os.OpenFile(pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if errors.Is(err, syscall.ENXIO) {
			return false, nil
		}
		return err == nil, err
	})
	if err == nil {
		return f, nil
	}
	if both, openErr := os.OpenFile(pipe, os.O_RDWR|syscall.O_NONBLOCK, 0); openErr == nil {
		_ = both.Close() // wakes a daemon that came at the last moment
	}
	return nil, fmt.Errorf("libvirtd does not open the pipe: %w", err)
}

// draining ends a write that nobody takes for too long, and keeps its error.
type draining struct {
	f     *os.File
	stall time.Duration
	err   error
}

func (d *draining) Write(p []byte) (n int, err error) {
	if err = d.f.SetWriteDeadline(time.Now().Add(d.stall)); err == nil {
		n, err = d.f.Write(p)
	}
	d.err = err
	return n, err
}

// imageHead is what stands before libxl's stream in an image of libvirt's Xen
// driver (libxlSavefileHeader in src/libxl/libxl_conf.h), and the XML with its
// zero byte.
func imageHead(text string) []byte {
	head := append([]byte{}, "libvirt-xml\n \x00 \r"...)
	head = binary.NativeEndian.AppendUint32(head, 2) // with a libxl stream of version 2
	head = binary.NativeEndian.AppendUint32(head, uint32(len(text)+1))
	head = append(head, make([]byte, 64-len(head))...)
	return append(append(head, text...), 0)
}
