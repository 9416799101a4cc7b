//go:build !linux

package privcmd

import "errors"

func openDevice() (device, error) { return nil, errors.ErrUnsupported }
