// Usage keeps the ledger of this host and answers from it.
//
//	usage run                              reads every minute, acts by quotas: run it as a service
//	usage top                              who uses most now
//	usage month web1                       days of this month
//	usage p95 web1 --rule max              the 95th percentile of this month
//	usage statement --format csv           all guests' bills of the last month, frozen
//	usage quota set web1 --limit 1000 --unit GB --warn 80 --soft --hard 120
//	usage quota topup web1 --limit 100
//	usage verify                           ledger and kernel side by side
//	usage graph web1 -o web1.svg
//
// What is internal and peer traffic stands in /etc/xenhost/classes.json:
//
//	{"internal": ["192.168.0.0/16"], "peer": ["203.0.113.0/24"]}
//
// It is a module of its own, for the library that draws.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/xenhost/xenhost/accounting/meter"
	"github.com/xenhost/xenhost/accounting/sqlite"
	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/xen/host"
)

// app is what all commands share.
type app struct {
	cli.Flags
	path, classes string
}

func main() {
	var a app
	root := &cobra.Command{Use: "usage", Short: "what the guests of this host use"}
	a.Add(root)
	root.PersistentFlags().StringVar(&a.path, "ledger", "/var/lib/xenhost/ledger.db", "the ledger's file")
	root.PersistentFlags().StringVar(&a.classes, "classes", "/etc/xenhost/classes.json", "which networks are internal and peers")
	root.AddCommand(run(&a), top(&a), month(&a), p95(&a), statement(&a), quotas(&a), verify(&a), graph(&a))
	cli.Main(root, nil)
}

// ledger opens the file, and makes it on a new host.
func (a *app) ledger(ctx context.Context) (*sqlite.Store, error) {
	if err := os.MkdirAll(filepath.Dir(a.path), 0o700); err != nil {
		return nil, err
	}
	return sqlite.Open(ctx, a.path, nil)
}

// meter is the kernel's counters, in the classes of the settings; without the
// file all is external.
func (a *app) meter() (*meter.Linux, error) {
	opts := &meter.Options{Log: a.Log()}
	text, err := os.ReadFile(a.classes)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		if err := json.Unmarshal(text, &opts.Classes); err != nil {
			return nil, fmt.Errorf("%s: %w", a.classes, err)
		}
	}
	return meter.New(opts), nil
}

// ports are the vifs of the guests that this host may run.
func ports(ctx context.Context, h *host.Host) ([]meter.Port, error) {
	all, err := h.Guests(ctx)
	var out []meter.Port
	for _, s := range all {
		if s.Owner.MayRun() != nil {
			continue
		}
		for i, n := range s.Guest.Nics {
			out = append(out, meter.Port{Guest: s.Guest.UUID, Dev: strconv.Itoa(i), Vif: network.VifName(s.Guest.UUID, i), Routed: n.Bridge == ""})
		}
	}
	return out, err
}

// volumes are what the guests have of the host's disks.
func volumes(ctx context.Context, h *host.Host) ([]meter.Volume, error) {
	all, err := h.Guests(ctx)
	var out []meter.Volume
	for _, s := range all {
		if s.Owner.MayRun() != nil {
			continue
		}
		for _, d := range s.Guest.Disks {
			out = append(out, meter.Volume{Guest: s.Guest.UUID, Name: d.Volume.String(), Size: d.Size})
		}
	}
	return out, err
}

// guest finds one by name or UUID; a UUID may be of one that is gone.
func (a *app) guest(ctx context.Context, name string) (uuid.UUID, string, error) {
	if id, err := uuid.Parse(name); err == nil {
		return id, a.names(ctx)(id), nil
	}
	h, err := a.Open()
	if err != nil {
		return uuid.UUID{}, "", err
	}
	g, err := h.Find(ctx, name)
	return g.UUID, g.Name, err
}

// ofGuest does work with the ledger on a guest.
func (a *app) ofGuest(ctx context.Context, what string, work func(ledger *sqlite.Store, id uuid.UUID, name string) error) error {
	id, name, err := a.guest(ctx, what)
	if err != nil {
		return err
	}
	ledger, err := a.ledger(ctx)
	if err != nil {
		return err
	}
	defer ledger.Close()
	return work(ledger, id, name)
}

// names knows what guests are called; one that is gone has no name.
func (a *app) names(ctx context.Context) func(uuid.UUID) string {
	known := map[uuid.UUID]string{}
	if h, err := a.Open(); err == nil {
		all, _ := h.Guests(ctx) // those that can be read; names are for people
		for _, s := range all {
			known[s.Guest.UUID] = s.Guest.Name
		}
	}
	return func(id uuid.UUID) string { return known[id] }
}

// called is a guest's name, or else its UUID.
func called(names func(uuid.UUID) string, id uuid.UUID) string {
	if n := names(id); n != "" {
		return n
	}
	return id.String()
}
