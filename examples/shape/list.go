package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/shaping"
	"github.com/xenhost/xenhost/xen/host"
)

// A row is a guest with what is configured, whether it is in force, and what
// passed in each second of the measure.
type row struct {
	Name     string           `json:"name"`
	UUID     uuid.UUID        `json:"uuid"`
	Rates    shaping.Policy   `json:"rates"`
	Throttle shaping.Throttle `json:"throttle,omitzero"`
	InForce  bool             `json:"in_force"`
	Download shaping.Rate     `json:"download"`
	Upload   shaping.Rate     `json:"upload"`
	Drops    uint32           `json:"drops"` // of both directions, in the measure
}

func list(flags *cli.Flags) *cobra.Command {
	var measure time.Duration
	c := &cobra.Command{Use: "list", Short: "rates as configured and as measured", Args: cobra.NoArgs}
	c.Flags().DurationVar(&measure, "measure", time.Second, "how long to measure")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if measure <= 0 {
			return cli.Usage("--measure %v", measure)
		}
		h, _, err := open(c, flags, "")
		if err != nil {
			return err
		}
		rows, err := look(c.Context(), h, measure)
		if err != nil {
			return err
		}
		return flags.Print(c.OutOrStdout(), rows, func(w io.Writer) { table(w, rows) })
	}
	return c
}

// look compares the definitions with what is in force and what passes.
func look(ctx context.Context, h *host.Host, measure time.Duration) ([]row, error) {
	before, err := counters(ctx, h.Shaping())
	if err != nil {
		return nil, err
	}
	began := time.Now()
	select {
	case <-time.After(measure):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	after, err := counters(ctx, h.Shaping())
	if err != nil {
		return nil, err
	}
	took := time.Since(began)
	have, err := h.Shaping().Read(ctx)
	if err != nil {
		return nil, err
	}
	all, err := h.Guests(ctx)
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, s := range all {
		share, ok := s.Guest.Shaping()
		if s.Owner.MayRun() != nil || !ok {
			continue
		}
		a, b := before[s.Guest.UUID], after[s.Guest.UUID]
		in, _ := have.Guest(s.Guest.UUID)
		wanted, _ := shaping.State{Guests: []shaping.Guest{share}}.Until(time.Now())
		rows = append(rows, row{
			Name: s.Guest.Name, UUID: s.Guest.UUID, Rates: s.Guest.Rates, Throttle: wanted.Guests[0].Throttle,
			InForce:  in.String() == wanted.Guests[0].String(),
			Download: rate(a.Download.Bytes, b.Download.Bytes, took), Upload: rate(a.Upload.Bytes, b.Upload.Bytes, took),
			Drops: b.Download.Drops - a.Download.Drops + b.Upload.Drops - a.Upload.Drops,
		})
	}
	return rows, nil
}

func counters(ctx context.Context, m shaping.Manager) (map[uuid.UUID]shaping.Counter, error) {
	all, err := m.Counters(ctx)
	out := make(map[uuid.UUID]shaping.Counter, len(all))
	for _, c := range all {
		out[c.UUID] = c
	}
	return out, err
}

// rate is what passed; a vif that was made anew meanwhile counts from 0.
func rate(before, after uint64, took time.Duration) shaping.Rate {
	if after < before {
		before = 0
	}
	return shaping.Rate(float64(after-before) * 8 / took.Seconds())
}

func table(w io.Writer, rows []row) {
	fmt.Fprintln(w, "NAME\tRECEIVES\tSENDS\tDROPS\tIN FORCE\tCONFIGURED")
	for _, r := range rows {
		force := "yes"
		if !r.InForce {
			force = "NO"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%v %v\n", r.Name, short(r.Download), short(r.Upload), r.Drops, force, r.Rates, r.Throttle)
	}
}

// short prints a measured rate with three digits or so.
func short(r shaping.Rate) string {
	for _, u := range []struct {
		unit shaping.Rate
		name string
	}{{shaping.Gbit, "gbit"}, {shaping.Mbit, "mbit"}, {shaping.Kbit, "kbit"}} {
		if r >= u.unit {
			return fmt.Sprintf("%.1f%s", float64(r)/float64(u.unit), u.name)
		}
	}
	return r.String()
}
