package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/xenhost/xenhost/accounting"
	"github.com/xenhost/xenhost/accounting/sqlite"
	"github.com/xenhost/xenhost/internal/cli"
)

func top(a *app) *cobra.Command {
	var span time.Duration
	c := &cobra.Command{Use: "top", Short: "who uses most", Args: cobra.NoArgs}
	c.Flags().DurationVar(&span, "span", 15*time.Minute, "of the last so much time")
	c.RunE = func(c *cobra.Command, _ []string) error {
		ledger, err := a.ledger(c.Context())
		if err != nil {
			return err
		}
		defer ledger.Close()
		now := time.Now()
		sums := map[uuid.UUID]accounting.Row{}
		for r, err := range ledger.Rows(c.Context(), accounting.Query{All: true, From: now.Add(-span), To: now}) {
			if err != nil {
				return err
			}
			r.Usage.Add(sums[r.Guest].Usage)
			r.Flags |= sums[r.Guest].Flags
			sums[r.Guest] = r
		}
		rows := make([]accounting.Row, 0, len(sums))
		for _, r := range sums {
			rows = append(rows, r)
		}
		both := func(r accounting.Row) int64 { return accounting.CountBoth.Of(r.Usage) }
		slices.SortFunc(rows, func(a, b accounting.Row) int { return cmp.Compare(both(b), both(a)) })
		names := a.names(c.Context())
		return a.Print(c.OutOrStdout(), rows, func(w io.Writer) {
			fmt.Fprintln(w, "GUEST\tIN MBIT/S\tOUT MBIT/S\tCPU %\tREADS/S\tWRITES/S\tFLAGS")
			for _, r := range rows {
				rate := func(n int64) float64 { return float64(n) / span.Seconds() }
				fmt.Fprintf(w, "%s\t%.3f\t%.3f\t%.1f\t%.1f\t%.1f\t%v\n", called(names, r.Guest),
					rate(r.Usage.Net(accounting.External, accounting.In))*8/1e6, rate(r.Usage.Net(accounting.External, accounting.Out))*8/1e6,
					rate(r.Usage[accounting.CPU])/1e7, rate(r.Usage[accounting.DiskReadOps]), rate(r.Usage[accounting.DiskWriteOps]), r.Flags)
			}
		})
	}
	return c
}

func month(a *app) *cobra.Command {
	var name string
	c := &cobra.Command{Use: "month GUEST", Short: "the days of this month", Args: cobra.ExactArgs(1)}
	c.Flags().StringVar(&name, "unit", "GB", "MB, GB, TB, MiB, GiB or TiB")
	c.RunE = func(c *cobra.Command, args []string) error {
		u, err := accounting.ParseUnit(name)
		if err != nil {
			return cli.UsageError{Err: err}
		}
		return a.ofGuest(c.Context(), args[0], func(ledger *sqlite.Store, id uuid.UUID, _ string) error {
			p, err := accounting.Month(time.Now(), time.UTC, 1)
			if err != nil {
				return err
			}
			var rows []accounting.Row
			for r, err := range ledger.Rows(c.Context(), accounting.Query{Guest: id, From: p.Start, To: p.End, Step: 24 * time.Hour}) {
				if err != nil {
					return err
				}
				rows = append(rows, r)
			}
			return a.Print(c.OutOrStdout(), rows, func(w io.Writer) {
				fmt.Fprintf(w, "DAY\tIN %v\tOUT %[1]v\tINTERNAL %[1]v\tCPU H\tFLAGS\n", u)
				for _, r := range rows {
					internal := r.Usage.Net(accounting.Internal, accounting.In) + r.Usage.Net(accounting.Internal, accounting.Out)
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.2f\t%v\n", r.Start.Format(time.DateOnly), u.Format(r.Usage.Net(accounting.External, accounting.In)),
						u.Format(r.Usage.Net(accounting.External, accounting.Out)), u.Format(internal), time.Duration(r.Usage[accounting.CPU]).Hours(), r.Flags)
				}
			})
		})
	}
	return c
}

// termsFlags are the flags for terms.
func termsFlags(c *cobra.Command, t *accounting.Terms) {
	f := c.Flags()
	f.StringVar((*string)(&t.Rule), "rule", "max", "max, sum, peak or each")
	f.IntVar(&t.Percentile, "percentile", 95, "of the slots' rates")
	f.StringVar(&t.Zone, "zone", "", "time zone of the month, as Europe/Amsterdam")
	f.IntVar(&t.Anchor, "anchor", 1, "day on which it begins")
	f.BoolVar(&t.Wire, "wire", false, "bill Ethernet bytes of all traffic instead of external IP bytes")
	f.BoolVar(&t.SkipMissing, "skip-missing", false, "leave out slots that the ledger knows nothing of")
	f.BoolVar(&t.SkipGaps, "skip-gaps", false, "leave out slots that were spread over a gap")
}

// bill is a guest's statement of a period.
func bill(ctx context.Context, ledger *sqlite.Store, id uuid.UUID, name string, p accounting.Period, t accounting.Terms) (accounting.Statement, error) {
	s, err := accounting.NewStatement(id, p, t, time.Now(), ledger.Rows(ctx, accounting.Query{Guest: id, From: p.Start, To: p.End}))
	s.Name = name
	return s, err
}

func (a *app) period(t accounting.Terms, at time.Time) (accounting.Period, error) {
	loc, err := time.LoadLocation(t.Zone)
	if err != nil {
		return accounting.Period{}, cli.UsageError{Err: err}
	}
	return accounting.Month(at, loc, t.Anchor)
}

func p95(a *app) *cobra.Command {
	var t accounting.Terms
	c := &cobra.Command{Use: "p95 GUEST", Short: "the percentile of this month until now", Args: cobra.ExactArgs(1)}
	termsFlags(c, &t)
	c.RunE = func(c *cobra.Command, args []string) error {
		return a.ofGuest(c.Context(), args[0], func(ledger *sqlite.Store, id uuid.UUID, name string) error {
			p, err := a.period(t, time.Now())
			if err != nil {
				return err
			}
			s, err := bill(c.Context(), ledger, id, name, p, t)
			if err != nil {
				return err
			}
			printed := a.Print(c.OutOrStdout(), s, func(w io.Writer) { err = accounting.Table(w, []accounting.Statement{s}, accounting.GB) })
			return errors.Join(err, printed)
		})
	}
	return c
}

func statement(a *app) *cobra.Command {
	var t accounting.Terms
	var of, format, unit string
	c := &cobra.Command{Use: "statement", Short: "all guests' bills of a month that is over, frozen", Args: cobra.NoArgs}
	termsFlags(c, &t)
	c.Flags().StringVar(&of, "month", "", "any day in it, as 2026-11-15; empty is the last one")
	c.Flags().StringVar(&format, "format", "table", "table, csv, json or whmcs")
	c.Flags().StringVar(&unit, "unit", "GB", "of the table")
	c.RunE = func(c *cobra.Command, _ []string) error {
		u, err := accounting.ParseUnit(unit)
		if err != nil {
			return cli.UsageError{Err: err}
		}
		p, err := a.period(t, time.Now())
		if err == nil && of == "" {
			p, err = a.period(t, p.Start.Add(-time.Hour))
		}
		if err == nil && of != "" {
			var day time.Time
			if day, err = time.Parse(time.DateOnly, of); err == nil {
				p, err = a.period(t, day.Add(12*time.Hour))
			}
		}
		if err != nil {
			return cli.UsageError{Err: err}
		}
		ledger, err := a.ledger(c.Context())
		if err != nil {
			return err
		}
		defer ledger.Close()
		all, err := a.bills(c.Context(), ledger, p, t)
		if err != nil {
			return err
		}
		if a.JSON {
			format = "json"
		}
		out := c.OutOrStdout()
		switch format {
		case "table":
			return accounting.Table(out, all, u)
		case "csv":
			return accounting.CSV(out, all)
		case "json":
			return accounting.JSON(out, all)
		case "whmcs":
			return a.whmcs(c.Context(), out, ledger, all)
		}
		return cli.Usage("--format %q is none of table, csv, json, whmcs", format)
	}
	return c
}

// bills are the statements of all that have rows in the period: frozen ones as
// they were, new ones frozen if the period is over.
func (a *app) bills(ctx context.Context, ledger *sqlite.Store, p accounting.Period, t accounting.Terms) (all []accounting.Statement, err error) {
	totals, err := ledger.Totals(ctx)
	if err != nil {
		return nil, err
	}
	names := a.names(ctx)
	for _, r := range totals {
		s, err := ledger.Frozen(ctx, r.Guest, p.Start)
		if errors.Is(err, fs.ErrNotExist) {
			if s, err = bill(ctx, ledger, r.Guest, names(r.Guest), p, t); err == nil && s.Final() == nil {
				s, err = ledger.Freeze(ctx, s)
			}
		}
		if err != nil {
			return nil, err
		}
		if s.Usage != (accounting.Usage{}) {
			all = append(all, s)
		}
	}
	return all, nil
}

func (a *app) whmcs(ctx context.Context, out io.Writer, ledger *sqlite.Store, all []accounting.Statement) error {
	quotas, err := ledger.Quotas(ctx)
	if err != nil {
		return err
	}
	h, err := a.Open()
	if err != nil {
		return err
	}
	disks, err := volumes(ctx, h)
	if err != nil {
		return err
	}
	rows := []accounting.WHMCSUsage{}
	for _, s := range all {
		var disk, limit int64
		for _, v := range disks {
			if v.Guest == s.Guest {
				disk += v.Size
			}
		}
		for _, q := range quotas {
			if q.Guest == s.Guest {
				limit = q.Limit + q.TopUp
			}
		}
		rows = append(rows, accounting.WHMCS(s, disk, limit))
	}
	a.JSON = true
	return a.Print(out, rows, nil)
}
