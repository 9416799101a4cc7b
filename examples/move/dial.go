package main

import (
	"context"
	"strings"
	"time"

	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/xen/dom0"
)

// dial reaches the other host by ssh.
func (o *options) dial(ctx context.Context, name string) (*migrate.Remote, error) {
	// The connection outlives ctx: a move that is cancelled is rolled back on both hosts.
	conn, err := migrate.Command(context.WithoutCancel(ctx), dom0.Local{Log: o.Log()},
		migrate.SSH(o.to, &migrate.SSHOptions{Agent: strings.Fields(o.agent), Options: o.ssh}))
	if err != nil {
		return nil, err
	}
	return migrate.Dial(ctx, conn, &migrate.DialOptions{Name: name, Log: o.Log()})
}

// redial is migrate.Options.Redial: it calls every few seconds, for as long as
// the user has patience; nil if that is not at all.
func (o *options) redial(name string) func(context.Context) (migrate.Host, error) {
	if o.patience == 0 {
		return nil
	}
	return func(ctx context.Context) (migrate.Host, error) {
		ctx, cancel := context.WithTimeout(ctx, o.patience)
		defer cancel()
		again := time.NewTicker(5 * time.Second)
		defer again.Stop()
		for {
			there, err := o.dial(ctx, name)
			if err == nil {
				return there, nil
			}
			select {
			case <-ctx.Done():
				return nil, err
			case <-again.C:
			}
		}
	}
}
