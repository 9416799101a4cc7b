package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/vishvananda/netlink"
)

// Measurer is a Manager that can tell how large the frames of an interface may
// be. A guest has the MTU of its bridge, and keeps it in a live move.
type Measurer interface {
	// MTU is the bytes of a frame's payload that an interface takes, as 1500, or
	// fs.ErrNotExist.
	MTU(ctx context.Context, name string) (int, error)
}

var _ Measurer = (*Linux)(nil)

// MTU implements Measurer.
//
//	ip link show xenint
func (l *Linux) MTU(ctx context.Context, name string) (mtu int, err error) {
	err = validName(name, 15)
	if err == nil {
		err = l.inside(ctx, func(context.Context) error {
			link, err := netlink.LinkByName(name)
			if err == nil {
				mtu = link.Attrs().MTU
			}
			return err
		})
	}
	var none netlink.LinkNotFoundError
	if errors.As(err, &none) {
		err = fmt.Errorf("interface %s: %w", name, fs.ErrNotExist)
	}
	if err != nil {
		return 0, &Error{Op: "mtu", Name: name, Err: err}
	}
	return mtu, nil
}
