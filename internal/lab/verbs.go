package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
)

// A hostStatus is a row of status.
type hostStatus struct {
	Host     string `json:"host"`
	Running  bool   `json:"running"`
	External string `json:"external"`
	Internal string `json:"internal"`
	Mgmt     string `json:"mgmt"`
}

func status(l *xenlab.Lab) (rows []hostStatus, text string) {
	var b strings.Builder
	for _, name := range xenlab.Hosts() {
		h, err := l.Host(name)
		if err != nil {
			continue
		}
		row := hostStatus{name, h.Running(), h.ExternalIP(), h.InternalIP(), h.MgmtIP()}
		rows = append(rows, row)
		state := "off"
		if row.Running {
			state = "running"
		}
		fmt.Fprintf(&b, "%-8s %-8s %-14s %-14s %s\n", row.Host, state, row.External, row.Internal, row.Mgmt)
	}
	return rows, strings.TrimSuffix(b.String(), "\n")
}

func (t *tool) status() *cobra.Command {
	return &cobra.Command{Use: "status", Short: "which hosts run, and their addresses", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := xenlab.Join("", t.options())
			if err != nil {
				return err
			}
			rows, text := status(l)
			return t.print(cmd, rows, text)
		}}
}

func (t *tool) build() *cobra.Command {
	return &cobra.Command{Use: "build", Short: "make the image of a host, if it is not there", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return t.take(cmd, func(l *xenlab.Lab) error {
				name, err := l.Build(cmd.Context())
				if err != nil {
					return err
				}
				return t.print(cmd, map[string]string{"image": name}, name)
			})
		}}
}

func (t *tool) up() *cobra.Command {
	var fresh bool
	c := &cobra.Command{Use: "up [HOST...]", Short: "start hosts, from their saved state where there is one",
		RunE: func(cmd *cobra.Command, args []string) error {
			return t.take(cmd, func(l *xenlab.Lab) error {
				start := l.Up
				if fresh {
					start = l.Fresh
				}
				if err := start(cmd.Context(), args...); err != nil {
					return err
				}
				rows, text := status(l)
				if n := l.Retried(); n > 0 {
					text += fmt.Sprintf("\nboots retried: %d", n)
				}
				return t.print(cmd, map[string]any{"hosts": rows, "boots_retried": l.Retried()}, text)
			})
		}}
	c.Flags().BoolVar(&fresh, "fresh", false, "as after the first boot, disks included, whatever was saved since")
	return c
}

func (t *tool) down() *cobra.Command {
	return t.lab("down", "stop all hosts; their disks stay", (*xenlab.Lab).Down)
}

func (t *tool) reset() *cobra.Command {
	return t.lab("reset", "stop all hosts, and throw their disks and saved states away", (*xenlab.Lab).Reset)
}

func (t *tool) lab(use, short string, do func(*xenlab.Lab, context.Context) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return t.take(cmd, func(l *xenlab.Lab) error { return do(l, cmd.Context()) })
		}}
}

func (t *tool) hosts(use, short string, do func(*xenlab.Lab, context.Context, ...string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			return t.take(cmd, func(l *xenlab.Lab) error { return do(l, cmd.Context(), args...) })
		}}
}

func (t *tool) host(use, short string, do func(*xenlab.Host, context.Context) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return t.take(cmd, func(l *xenlab.Lab) error {
				h, err := l.Host(args[0])
				if err != nil {
					return err
				}
				return do(h, cmd.Context())
			})
		}}
}

func (t *tool) ssh() *cobra.Command {
	c := &cobra.Command{Use: "ssh HOST [COMMAND...]", Short: "run a command in a dom0, or a shell", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			argv := args[1:]
			if len(argv) > 0 && argv[0] == "--" {
				argv = argv[1:]
			}
			return t.join(args[0], func(h *xenlab.Host) error { return h.Shell(cmd.Context(), argv...) })
		}}
	c.Flags().SetInterspersed(false)
	return c
}

func (t *tool) put() *cobra.Command {
	return &cobra.Command{Use: "put HOST SRC DST", Short: "copy a file or a folder in to a dom0", Args: cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			return t.join(args[0], func(h *xenlab.Host) error { return h.Put(cmd.Context(), args[1], args[2]) })
		}}
}

func (t *tool) get() *cobra.Command {
	return &cobra.Command{Use: "get HOST SRC DST", Short: "copy a file, or what is on a device, out of a dom0", Args: cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			return t.join(args[0], func(h *xenlab.Host) error { return h.Get(cmd.Context(), args[1], args[2]) })
		}}
}

func (t *tool) test() *cobra.Command {
	var host string
	o := &xenlab.TestOptions{}
	c := &cobra.Command{Use: "test PACKAGE [TEST BINARY FLAGS...]", Short: "run a package's tests inside a dom0 that is up", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return t.join(host, func(h *xenlab.Host) error {
				o.Args = args[1:]
				out := cmd.OutOrStdout()
				if t.json {
					out = cmd.ErrOrStderr()
				}
				result, err := h.GoTest(cmd.Context(), args[0], o, out)
				if t.json {
					err = errorsFirst(err, t.print(cmd, result, ""))
				}
				return err
			})
		}}
	c.Flags().SetInterspersed(false)
	c.Flags().StringVar(&host, "host", "curacao", "in whose dom0")
	c.Flags().StringVar(&o.Run, "run", "", "only tests that match")
	c.Flags().StringArrayVar(&o.Env, "env", nil, "KEY=value, may be given again")
	return c
}

// errorsFirst returns the first error that is one.
func errorsFirst(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
