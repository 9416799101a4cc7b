// Killmove is a mover that kills itself with SIGKILL right before one step of
// a cold move, as a power failure or the OOM killer would:
//
//	killmove NAME USER@HOST STEP
package main

import (
	"context"
	"fmt"
	"os"
	"syscall"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/xen/dom0"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: killmove NAME USER@HOST STEP")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Args[1], os.Args[2], handover.Name(os.Args[3])); err != nil {
		fmt.Fprintln(os.Stderr, "killmove:", err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stderr, "killmove: the move ended, there is no such step")
	os.Exit(1)
}

func run(ctx context.Context, name, destination string, at handover.Name) error {
	here, err := cli.Open(cli.DefaultSettings, nil)
	if err != nil {
		return err
	}
	conn, err := migrate.Command(ctx, dom0.Local{}, migrate.SSH(destination, nil))
	if err != nil {
		return err
	}
	there, err := migrate.Dial(ctx, conn, &migrate.DialOptions{Name: here.Name()})
	if err != nil {
		return err
	}
	g, err := here.Find(ctx, name)
	if err != nil {
		return err
	}
	plan, err := migrate.PlanMove(ctx, here, there, g.UUID, migrate.Cold, &migrate.Options{OnStep: func(s handover.Step) error {
		fmt.Fprintln(os.Stderr, s)
		if s.Name == at {
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return nil
	}})
	if err != nil {
		return err
	}
	_, err = plan.Run(ctx)
	return err
}
