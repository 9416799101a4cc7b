package main

import (
	"context"
	"fmt"
	"time"

	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/privcmd"
	"github.com/xenhost/xenhost/xen/stats"
	"github.com/xenhost/xenhost/xen/xenstore"
)

// benchXen runs in a dom0. It reads a node by a connection that stays open and
// by a command a read, and the statistics of all domains by a hypercall and
// files and by the commands that print them.
func benchXen(ctx context.Context) ([]Row, error) {
	store, err := xenstore.Dial(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	xen0, err := privcmd.Open()
	if err != nil {
		return nil, err
	}
	defer xen0.Close()
	const node = "/local/domain/0/name"
	read, err := each(2000, func() error { _, err := store.Read(ctx, node); return err })
	if err != nil {
		return nil, err
	}
	var sample stats.Sample
	pass, err := each(200, func() (err error) { sample, err = stats.Read(ctx, xen0, nil); return err })
	if err != nil {
		return nil, err
	}
	rows := []Row{}
	for _, peer := range []struct {
		metric string
		ours   time.Duration
		target float64
		argv   []string
	}{
		{"read one node, ms", read, 20, []string{"xenstore-read", node}},
		{fmt.Sprintf("statistics of %d domains, ms", len(sample.Domains)), pass, 0, []string{"xentop", "-b", "-i", "1", "-f", "-n", "-x"}},
		{fmt.Sprintf("statistics of %d domains, ms", len(sample.Domains)), pass, 0, []string{"xl", "list", "-l"}},
	} {
		theirs, err := each(10, func() error { _, err := dom0.Output(ctx, dom0.Local{}, peer.argv...); return err })
		if err != nil {
			return nil, err
		}
		rows = append(rows, compare("xen", peer.metric, peer.argv[0], ms(peer.ours), ms(theirs), peer.target))
	}
	return rows, nil
}

// each returns how long f takes, on the average of n times after a first one.
func each(n int, f func() error) (time.Duration, error) {
	if err := f(); err != nil {
		return 0, err
	}
	all, err := timed(func() error {
		for range n {
			if err := f(); err != nil {
				return err
			}
		}
		return nil
	})
	return all / time.Duration(n), err
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }
