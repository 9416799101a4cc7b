package dom0_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/xenhost/xenhost/xen/dom0"
)

func ExampleLocal() {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()

	err := dom0.Local{}.Run(ctx, dom0.Cmd{Args: []string{"sleep", "1000"}})
	fmt.Println(err)
	fmt.Println(errors.Is(err, context.DeadlineExceeded))

	err = dom0.Local{}.Run(context.Background(), dom0.Cmd{Args: []string{"no-such-tool"}})
	fmt.Println(errors.Is(err, exec.ErrNotFound))
	// Output:
	// sleep 1000: context deadline exceeded: signal: killed
	// true
	// true
}

// The rules of a firewall go in as one text, as an operator would pipe them.
func ExampleLocal_stdin() {
	var out strings.Builder
	err := dom0.Local{}.Run(context.Background(), dom0.Cmd{
		Args:   []string{"sort"},
		Stdin:  strings.NewReader("web2\nweb1\n"),
		Stdout: &out,
	})
	fmt.Print(out.String(), err, "\n")
	// Output:
	// web1
	// web2
	// <nil>
}
