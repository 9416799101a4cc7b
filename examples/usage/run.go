package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"github.com/xenhost/xenhost/accounting"
	"github.com/xenhost/xenhost/accounting/meter"
	"github.com/xenhost/xenhost/accounting/prom"
	"github.com/xenhost/xenhost/accounting/quota"
	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/shaping"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/privcmd"
)

// sources are all that a host can be asked.
func (a *app) sources(h *host.Host, m *meter.Linux) []accounting.Source {
	var lister xen.Lister = h.Domains()
	if xen0, err := privcmd.Open(); err == nil {
		lister = xen0 // CPU time in nanoseconds, and no command
	}
	all := []accounting.Source{
		m.Source(func(ctx context.Context) ([]meter.Port, error) { return ports(ctx, h) }),
		meter.Xen(lister, nil),
		meter.Volumes(func(ctx context.Context) ([]meter.Volume, error) { return volumes(ctx, h) }),
	}
	if h.Shaping() != nil {
		all = append(all, meter.Wire(h.Shaping(), lister))
	}
	return all
}

func run(a *app) *cobra.Command {
	var every time.Duration
	var listen string
	var once bool
	rate := shaping.Mbit
	c := &cobra.Command{Use: "run", Short: "read, and act by quotas, until it is told to end", Args: cobra.NoArgs}
	c.Flags().DurationVar(&every, "every", time.Minute, "how often to read")
	c.Flags().BoolVar(&once, "once", false, "read once and end, as before a move or the host's reboot")
	c.Flags().StringVar(&listen, "metrics", "", "serve Prometheus there, as 127.0.0.1:9178")
	c.Flags().Var(&rate, "throttle", "the rate of guests that used up their quota")
	c.RunE = func(c *cobra.Command, _ []string) error {
		ctx := c.Context()
		log := slog.New(slog.NewTextHandler(os.Stderr, nil))
		h, err := a.Open()
		if err != nil {
			return err
		}
		m, err := a.meter()
		if err != nil {
			return err
		}
		ledger, err := a.ledger(ctx)
		if err != nil {
			return err
		}
		defer ledger.Close()
		enforcer := &quota.Enforcer{Store: ledger, Limiter: m, Rate: rate, Hook: func(_ context.Context, e quota.Event) error {
			log.Warn("quota", "guest", e.Quota.Guest, "level", e.Level, "used", e.Used, "limit", e.Quota.Limit+e.Quota.TopUp)
			return nil
		}}
		if h.Shaping() != nil {
			enforcer.Throttler = h
		}
		pruned := time.Time{}
		after := func(ctx context.Context) error {
			err := enforcer.Enforce(ctx)
			if time.Since(pruned) > 24*time.Hour {
				pruned = time.Now()
				err = errors.Join(err, ledger.Prune(ctx, pruned, accounting.Retention{}))
			}
			return err
		}
		recorder := &accounting.Recorder{Store: ledger, Clock: meter.Clock, Sources: a.sources(h, m), Every: every, After: after, Log: log}
		if once {
			return errors.Join(recorder.Record(ctx, nil), after(ctx))
		}
		if listen != "" {
			end, err := serve(ctx, listen, prom.New(ledger, &prom.Options{Name: a.names(ctx)}), log)
			if err != nil {
				return err
			}
			defer end()
		}
		if err := recorder.Run(ctx); !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	}
	return c
}

// serve answers Prometheus until end is called.
func serve(ctx context.Context, addr string, c prometheus.Collector, log *slog.Logger) (end func(), err error) {
	registry := prometheus.NewRegistry()
	if err := registry.Register(c); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	server := &http.Server{Addr: addr, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) && ctx.Err() == nil {
			log.Error("metrics", "error", err)
		}
	}()
	return func() { _ = server.Close() }, nil
}

// verify shows the kernel's counters beside the ledger, and what was not read
// yet. A ledger that is behind them by more than a minute's traffic is not run.
func verify(a *app) *cobra.Command {
	return &cobra.Command{Use: "verify", Short: "the ledger and the kernel side by side", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		ctx := c.Context()
		h, err := a.Open()
		if err != nil {
			return err
		}
		m, err := a.meter()
		if err != nil {
			return err
		}
		ledger, err := a.ledger(ctx)
		if err != nil {
			return err
		}
		defer ledger.Close()
		before, err := ledger.Totals(ctx)
		if err != nil {
			return err
		}
		recorder := &accounting.Recorder{Store: ledger, Clock: meter.Clock, Sources: a.sources(h, m)}
		if err := recorder.Record(ctx, nil); err != nil {
			return err
		}
		after, err := ledger.Totals(ctx)
		if err != nil {
			return err
		}
		known := map[string]accounting.Usage{}
		for _, r := range before {
			known[r.Guest.String()] = r.Usage
		}
		names := a.names(ctx)
		return a.Print(c.OutOrStdout(), after, func(w io.Writer) {
			fmt.Fprintln(w, "GUEST\tIN\tOUT\tWIRE IN\tWIRE OUT\tNOT READ BEFORE")
			for _, r := range after {
				var in, out int64
				for class := range accounting.NumClasses {
					in, out = in+r.Usage.Net(class, accounting.In), out+r.Usage.Net(class, accounting.Out)
				}
				was := known[r.Guest.String()]
				late := r.Usage.Net(accounting.External, accounting.In) + r.Usage.Net(accounting.External, accounting.Out) -
					was.Net(accounting.External, accounting.In) - was.Net(accounting.External, accounting.Out)
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", called(names, r.Guest), cli.Bytes(in), cli.Bytes(out),
					cli.Bytes(r.Usage[accounting.WireIn]), cli.Bytes(r.Usage[accounting.WireOut]), cli.Bytes(late))
			}
		})
	}}
}
