package dom0_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/xenhost/xenhost/xen/dom0"
)

func TestErrorText(t *testing.T) {
	argv := []string{"lvs", "guests"}
	for want, e := range map[string]dom0.Error{
		"lvs guests: exit 5":                             {Args: argv, ExitCode: 5},
		"lvs guests: exit 5: no such group":              {Args: argv, ExitCode: 5, Stderr: "\n  no such group\nand more"},
		"lvs guests: context canceled":                   {Args: argv, ExitCode: -1, Err: context.Canceled},
		"lvs guests: exit 1: context canceled: Failed":   {Args: argv, ExitCode: 1, Err: context.Canceled, Stderr: "Failed\n"},
		"lvs guests: context canceled: signal: killed: ": {Args: argv, Err: errors.New("context canceled: signal: killed: ")},
	} {
		assert.Equal(t, want, e.Error())
	}
}

func ExampleError() {
	// A fake host answers as LVM does.
	err := error(&dom0.Error{Args: []string{"lvs", "guests/web1"}, ExitCode: 5, Stderr: "  Failed to find logical volume \"guests/web1\"\n"})
	if failed, ok := errors.AsType[*dom0.Error](err); ok {
		fmt.Println(failed.ExitCode, failed.Args[0])
	}
	fmt.Println(err)
	// Output:
	// 5 lvs
	// lvs guests/web1: exit 5: Failed to find logical volume "guests/web1"
}

func ExampleOutput() {
	out, err := dom0.Output(context.Background(), dom0.Local{}, "echo", "no shell:", "$HOME", "*")
	fmt.Printf("%s%v\n", out, err)
	// Output:
	// no shell: $HOME *
	// <nil>
}
