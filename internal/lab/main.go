// Command lab gives a contributor real Xen hosts on this machine: see package xenlab.
//
//	go run ./internal/lab build              # once, a few minutes; up does it too
//	go run ./internal/lab up                 # curacao and islay, running on after this command
//	go run ./internal/lab ssh curacao xl list
//	go run ./internal/lab put curacao FILE /root/FILE    # and get curacao /dev/guests/web FILE
//	go run ./internal/lab test ./lvm         # a package's tests inside a dom0
//	go run ./internal/lab save               # keep this moment for the next up
//	go run ./internal/lab kill islay         # power failure
//	go run ./internal/lab boot islay         # power on: a cold boot from the disks as they are
//	go run ./internal/lab down               # or reset, which throws disks and saved states away
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := command().ExecuteContext(ctx)
	if err == nil {
		return
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && err == error(exit) { //nolint:errorlint // wrapped, it has something to say
		os.Exit(exit.ExitCode()) // of ssh, and what ran there has said why
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
