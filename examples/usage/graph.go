package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"

	"github.com/xenhost/xenhost/accounting"
	"github.com/xenhost/xenhost/accounting/sqlite"
	"github.com/xenhost/xenhost/internal/cli"
)

func graph(a *app) *cobra.Command {
	var file string
	var span time.Duration
	c := &cobra.Command{Use: "graph GUEST", Short: "draw a guest's traffic as SVG or PNG", Args: cobra.ExactArgs(1)}
	c.Flags().StringVarP(&file, "output", "o", "usage.svg", "the file; its end says which")
	c.Flags().DurationVar(&span, "span", 24*time.Hour, "of the last so much time")
	c.RunE = func(c *cobra.Command, args []string) error {
		format := strings.TrimPrefix(filepath.Ext(file), ".")
		if format != "svg" && format != "png" {
			return cli.Usage("%s ends neither in .svg nor in .png", file)
		}
		return a.ofGuest(c.Context(), args[0], func(ledger *sqlite.Store, id uuid.UUID, name string) error {
			now := time.Now()
			var rows []accounting.Row
			for r, err := range ledger.Rows(c.Context(), accounting.Query{Guest: id, From: now.Add(-span), To: now}) {
				if err != nil {
					return err
				}
				rows = append(rows, r)
			}
			out, err := os.Create(file)
			if err != nil {
				return err
			}
			if err := draw(out, rows, name, format); err != nil {
				_ = out.Close()
				return err
			}
			return out.Close()
		})
	}
	return c
}

// draw draws the external traffic of rows, in Mbit/s over time.
func draw(w io.Writer, rows []accounting.Row, title, format string) error {
	p := plot.New()
	p.Title.Text = title
	p.Y.Label.Text = "Mbit/s"
	p.X.Tick.Marker = plot.TimeTicks{Format: "01-02\n15:04", Time: func(t float64) time.Time { return time.Unix(int64(t), 0).UTC() }}
	p.Add(plotter.NewGrid())
	p.Legend.Top = true
	for i, d := range []accounting.Direction{accounting.In, accounting.Out} {
		points := make(plotter.XYs, len(rows))
		for j, r := range rows {
			points[j] = plotter.XY{X: float64(r.Start.Unix()), Y: float64(r.Usage.Net(accounting.External, d)) * 8 / accounting.SlotLength.Seconds() / 1e6}
		}
		if len(points) == 0 {
			break
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			return err
		}
		line.Color = plotutil.Color(i)
		p.Add(line)
		p.Legend.Add(map[accounting.Direction]string{accounting.In: "in", accounting.Out: "out"}[d], line)
	}
	to, err := p.WriterTo(24*vg.Centimeter, 10*vg.Centimeter, format)
	if err != nil {
		return err
	}
	_, err = to.WriteTo(w)
	return err
}
