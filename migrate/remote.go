package migrate

import (
	"context"
	"io"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
)

// Name returns the other host's name, as it said it.
func (r *Remote) Name() string { return r.name }

// Info is host.Host.Info there.
func (r *Remote) Info(ctx context.Context) (info xen.HostInfo, err error) {
	err = r.call(ctx, call{verb: verbInfo, result: &info})
	return info, err
}

// Guests is host.Host.Guests there.
func (r *Remote) Guests(ctx context.Context) (all []host.Status, err error) {
	err = r.call(ctx, call{verb: verbGuests, result: &all})
	return all, err
}

// Guest is host.Host.Guest there.
func (r *Remote) Guest(ctx context.Context, id uuid.UUID) (s host.Status, err error) {
	err = r.call(ctx, call{verb: verbGuest, args: guestArgs{id}, result: &s})
	return s, err
}

// Find is host.Host.Find there.
func (r *Remote) Find(ctx context.Context, nameOrUUID string) (g host.Guest, err error) {
	err = r.call(ctx, call{verb: verbFind, args: findArgs{nameOrUUID}, result: &g})
	return g, err
}

// Provision is host.Host.Provision there; the images travel with the call.
// Progress counts what was sent.
func (r *Remote) Provision(ctx context.Context, g host.Guest, opts *host.ProvisionOptions) (made host.Guest, err error) {
	if opts == nil {
		opts = &host.ProvisionOptions{}
	}
	a := provisionArgs{Guest: g, Stopped: opts.Stopped}
	for _, d := range g.Disks {
		if opts.Images[d.Dev] != nil {
			a.Images = append(a.Images, d.Dev)
		}
	}
	up := func(w io.Writer) error {
		for _, dev := range a.Images {
			data := chunkWriter{w}
			counted := &counter{w: data, dev: dev, progress: opts.Progress}
			if _, err := io.CopyBuffer(counted, justReader{opts.Images[dev]}, make([]byte, 256<<10)); err != nil {
				return err
			}
			if err := data.Close(); err != nil {
				return err
			}
		}
		return nil
	}
	err = r.call(ctx, call{verb: verbProvision, args: a, up: up, result: &made})
	return made, err
}

// Start is host.Host.Start there.
func (r *Remote) Start(ctx context.Context, id uuid.UUID) error {
	return r.call(ctx, call{verb: verbStart, args: guestArgs{id}})
}

// Stop is host.Host.Stop there.
func (r *Remote) Stop(ctx context.Context, id uuid.UUID) (how xen.Ending, err error) {
	err = r.call(ctx, call{verb: verbStop, args: guestArgs{id}, result: &how})
	return how, err
}

// Terminate is host.Host.Terminate there.
func (r *Remote) Terminate(ctx context.Context, id uuid.UUID) error {
	return r.call(ctx, call{verb: verbTerminate, args: guestArgs{id}})
}

// justReader hides a WriterTo, so that pieces have one size, and marks errors
// as its own.
type justReader struct{ r io.Reader }

func (j justReader) Read(p []byte) (int, error) {
	n, err := j.r.Read(p)
	if err != nil && err != io.EOF {
		err = &readError{err}
	}
	return n, err
}

// readError is an error of what was to be sent, not of the connection.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }

type counter struct {
	w        io.Writer
	dev      string
	done     int64
	progress func(dev string, done int64)
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.done += int64(n)
	if c.progress != nil {
		c.progress(c.dev, c.done)
	}
	return n, err
}
