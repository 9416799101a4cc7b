// Relaymove is one end of a migration whose middle is a test: it joins its
// stdin and stdout with a half of xl migrate.
//
//	relaymove send UUID [suspended]
//	relaymove receive SPEC        the domain as JSON
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/migrate/relay"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/xl"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "relaymove:", err)
		os.Exit(1)
	}
}

type wire struct {
	io.Reader
	io.Writer
}

func run(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return errors.New("usage: relaymove send UUID [suspended] | receive SPEC")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	driver := xl.New(dom0.Local{}, nil)
	ours, xls := net.Pipe()
	half := make(chan error, 1)
	var work func(context.Context, io.ReadWriter, io.ReadWriter, *relay.Options) (relay.Stats, error)
	switch args[0] {
	case "send":
		id, err := uuid.Parse(args[1])
		if err != nil {
			return err
		}
		work = relay.Source
		go func() {
			half <- driver.SendTo(ctx, id, xls, &xen.SendOptions{Suspended: len(args) > 2})
			xls.Close()
		}()
	case "receive":
		var spec xen.Spec
		if err := json.Unmarshal([]byte(args[1]), &spec); err != nil {
			return err
		}
		work = relay.Target
		go func() {
			_, err := driver.ReceiveFrom(ctx, spec, xls)
			half <- err
			xls.Close()
		}()
	default:
		return fmt.Errorf("what is %q?", args[0])
	}
	stats, err := work(ctx, ours, wire{os.Stdin, os.Stdout}, nil)
	fmt.Fprintf(os.Stderr, "%s: %+v %v\n", args[0], stats, err)
	if err != nil {
		cancel()
	}
	ours.Close()
	return errors.Join(err, <-half)
}
