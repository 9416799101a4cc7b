package lvm_test

import (
	"context"
	"slices"

	"github.com/xenhost/xenhost/xen/dom0"
)

// liar reports success for one lvm command and does not run it, as a disk that
// drops writes makes lvm do.
type liar struct {
	dom0.Runner
	command string
}

func (l liar) Run(ctx context.Context, cmd dom0.Cmd) error {
	if slices.Contains(cmd.Args, l.command) {
		return nil
	}
	return l.Runner.Run(ctx, cmd)
}
