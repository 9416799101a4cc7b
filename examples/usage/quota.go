package main

import (
	"fmt"
	"io"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/xenhost/xenhost/accounting"
	"github.com/xenhost/xenhost/accounting/quota"
	"github.com/xenhost/xenhost/accounting/sqlite"
	"github.com/xenhost/xenhost/internal/cli"
)

// shown is a quota with what was used of it.
type shown struct {
	accounting.Quota
	Name string `json:"name,omitempty"`
	Used int64  `json:"used"`
}

func quotas(a *app) *cobra.Command {
	c := &cobra.Command{Use: "quota", Short: "how much traffic guests have", Args: cobra.NoArgs}
	c.AddCommand(quotaSet(a), quotaTopUp(a), &cobra.Command{Use: "show", Short: "all quotas", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		ledger, err := a.ledger(c.Context())
		if err != nil {
			return err
		}
		defer ledger.Close()
		all, err := ledger.Quotas(c.Context())
		if err != nil {
			return err
		}
		names := a.names(c.Context())
		e := quota.Enforcer{Store: ledger}
		var rows []shown
		for _, q := range all {
			used, _, err := e.Used(c.Context(), q)
			if err != nil {
				return err
			}
			rows = append(rows, shown{q, names(q.Guest), used})
		}
		return a.Print(c.OutOrStdout(), rows, func(w io.Writer) {
			fmt.Fprintln(w, "GUEST\tUSED GB\tOF GB\t%\tREACHED")
			for _, r := range rows {
				whole := r.Limit + r.TopUp
				fmt.Fprintf(w, "%s\t%s\t%s\t%.1f\t%v\n", called(func(uuid.UUID) string { return r.Name }, r.Guest), accounting.GB.Format(r.Used), accounting.GB.Format(whole),
					100*float64(r.Used)/float64(whole), r.Done)
			}
		})
	}})
	return c
}

// amount is a flag pair: a number and its unit.
type amount struct {
	n    int64
	unit string
}

func (x *amount) flags(c *cobra.Command) {
	c.Flags().Int64Var(&x.n, "limit", 0, "how much")
	c.Flags().StringVar(&x.unit, "unit", "GB", "of --limit: MB, GB, TB, MiB, GiB or TiB")
}

func (x *amount) bytes() (int64, error) {
	u, err := accounting.ParseUnit(x.unit)
	if err != nil {
		return 0, cli.UsageError{Err: err}
	}
	if x.n < 0 || x.n > 1<<60/int64(u) {
		return 0, cli.Usage("--limit %d %s", x.n, x.unit)
	}
	return x.n * int64(u), nil
}

func quotaSet(a *app) *cobra.Command {
	var q accounting.Quota
	var much amount
	c := &cobra.Command{Use: "set GUEST", Short: "give a guest a quota; --limit 0 takes it", Args: cobra.ExactArgs(1)}
	much.flags(c)
	f := c.Flags()
	f.IntVar(&q.Warn, "warn", 80, "tell the customer, at so many percent")
	f.BoolVar(&q.Soft, "soft", false, "throttle at 100 percent")
	f.IntVar(&q.Hard, "hard", 0, "the kernel stops it, at so many percent; 0 is never")
	f.StringVar((*string)(&q.Count), "count", "both", "both, in or out")
	f.StringVar(&q.Zone, "zone", "", "time zone of the month")
	f.IntVar(&q.Anchor, "anchor", 1, "day on which it begins")
	c.RunE = func(c *cobra.Command, args []string) (err error) {
		if q.Limit, err = much.bytes(); err != nil {
			return err
		}
		if err := q.Validate(); err != nil {
			return cli.UsageError{Err: err}
		}
		if q.Guest, _, err = a.guest(c.Context(), args[0]); err != nil {
			return err
		}
		ledger, err := a.ledger(c.Context())
		if err != nil {
			return err
		}
		defer ledger.Close()
		return ledger.SetQuota(c.Context(), q)
	}
	return c
}

func quotaTopUp(a *app) *cobra.Command {
	var much amount
	c := &cobra.Command{Use: "topup GUEST", Short: "more for this month, at once", Args: cobra.ExactArgs(1)}
	much.flags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		bytes, err := much.bytes()
		if err != nil {
			return err
		}
		h, err := a.Open()
		if err != nil {
			return err
		}
		m, err := a.meter()
		if err != nil {
			return err
		}
		return a.ofGuest(c.Context(), args[0], func(ledger *sqlite.Store, id uuid.UUID, _ string) error {
			e := quota.Enforcer{Store: ledger, Limiter: m}
			if h.Shaping() != nil {
				e.Throttler = h
			}
			_, err := e.TopUp(c.Context(), id, bytes)
			return err
		})
	}
	return c
}
