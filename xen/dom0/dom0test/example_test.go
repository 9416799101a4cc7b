package dom0test_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/dom0/dom0test"
)

// A function stands in for a host that knows one command.
func ExampleFunc() {
	host := dom0test.Func(func(_ context.Context, cmd dom0.Cmd) error {
		if cmd.Args[0] == "xl" {
			_, err := fmt.Fprintln(cmd.Stdout, "4.17")
			return err
		}
		return &dom0.Error{Args: cmd.Args, ExitCode: 1, Stderr: "who?"}
	})
	out, err := dom0.Output(context.Background(), host, "xl", "info", "xen_version")
	fmt.Printf("%s%v\n", out, err)
	_, err = dom0.Output(context.Background(), host, "virsh", "list")
	fmt.Println(err)
	// Output:
	// 4.17
	// <nil>
	// virsh list: exit 1: who?
}

// The machine dies after the second command.
func ExampleFault() {
	ran := dom0test.Func(func(_ context.Context, cmd dom0.Cmd) error {
		fmt.Println(cmd.Args)
		return nil
	})
	crash := &dom0test.Fault{Runner: ran, Before: func(n int, _ dom0.Cmd) error {
		if n > 2 {
			return errors.New("power cut")
		}
		return nil
	}}
	for _, verb := range []string{"pause", "save", "destroy"} {
		if err := crash.Run(context.Background(), dom0.Cmd{Args: []string{"xl", verb, "1"}}); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// [xl pause 1]
	// [xl save 1]
	// xl destroy 1: power cut
}

// A command did its work, and its answer was lost.
func ExampleFault_after() {
	lost := &dom0test.Fault{
		Runner: dom0test.Func(func(context.Context, dom0.Cmd) error { return nil }),
		After: func(_ int, cmd dom0.Cmd, _ error) error {
			return &dom0.Error{Args: cmd.Args, ExitCode: -1, Err: context.DeadlineExceeded}
		},
	}
	fmt.Println(lost.Run(context.Background(), dom0.Cmd{Args: []string{"xl", "unpause", "7"}}))
	// Output: xl unpause 7: context deadline exceeded
}
