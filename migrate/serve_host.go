package migrate

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/xenhost/xenhost/xen/host"
)

// hostVerb answers the verbs that a Host has.
func (s *session) hostVerb(ctx context.Context, req request, stream io.Reader) (any, error) {
	switch req.Verb {
	case verbInfo:
		return s.host.Info(ctx)
	case verbGuests:
		return s.host.Guests(ctx)
	case verbFind:
		a, err := args[findArgs](req)
		if err != nil {
			return nil, err
		}
		return s.host.Find(ctx, a.Name)
	case verbProvision:
		a, err := args[provisionArgs](req)
		if err != nil {
			return nil, err
		}
		return s.provision(ctx, a, stream)
	}
	a, err := args[guestArgs](req)
	if err != nil {
		return nil, err
	}
	switch req.Verb {
	case verbGuest:
		return s.host.Guest(ctx, a.UUID)
	case verbStart:
		return nil, s.host.Start(ctx, a.UUID)
	case verbStop:
		return s.host.Stop(ctx, a.UUID)
	}
	return nil, s.host.Terminate(ctx, a.UUID)
}

// provision gives the host the images as they arrive. The host reads them one
// after the other in the order of the guest's disks, so they must come in it.
func (s *session) provision(ctx context.Context, a provisionArgs, stream io.Reader) (any, error) {
	opts := &host.ProvisionOptions{Stopped: a.Stopped, Images: make(map[string]io.Reader, len(a.Images))}
	last := -1
	for _, dev := range a.Images {
		i := slices.IndexFunc(a.Guest.Disks, func(d host.Disk) bool { return d.Dev == dev })
		if i <= last {
			return nil, fmt.Errorf("%w: image of %q: no such disk, or not in the order of the disks", ErrProtocol, dev)
		}
		last = i
		opts.Images[dev] = &chunkReader{r: stream}
	}
	return s.host.Provision(ctx, a.Guest, opts)
}
