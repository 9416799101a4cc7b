// Forward lets the world reach guests of this host: it adds, lists, removes and
// checks forwards. They are part of the guest's definition and move with it.
//
//	forward add web1 "tcp *:8080 -> 192.168.0.10:80"
//	forward add web1 "udp 203.0.113.5:10000-10099 -> 192.168.0.10:10000"
//	forward add web1 "all 203.0.113.6 -> 192.168.0.10"           # a whole address
//	forward add web1 "tcp *:80 -> 192.168.0.10:80 spread"        # shared with others
//	forward add web1 --dry-run "tcp [2001:db8::1]:80 -> [fd00::10]:80"
//	forward list
//	forward remove web1 "tcp *:8080 -> 192.168.0.10:80"
//	forward check                                                # 0: all is as it should be
package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/xen/host"
)

func main() {
	var flags cli.Flags
	c := command(&flags, flags.Open)
	flags.Add(c)
	cli.Main(c, nil)
}

// command is the whole of it; open gives the host.
func command(flags *cli.Flags, open func() (*host.Host, error)) *cobra.Command {
	c := &cobra.Command{Use: "forward", Short: "ports and addresses of this host that go to guests"}
	var dryRun bool
	edit := func(use, short string, change func(have []network.Forward, f network.Forward) ([]network.Forward, error)) {
		sub := &cobra.Command{Use: use + " GUEST FORWARD...", Short: short, Args: cobra.MinimumNArgs(2)}
		sub.Flags().BoolVar(&dryRun, "dry-run", false, "print what would change, and change nothing")
		sub.RunE = func(c *cobra.Command, args []string) error {
			h, err := open()
			if err != nil {
				return err
			}
			g, err := h.Find(c.Context(), args[0])
			if err != nil {
				return err
			}
			want := slices.Clone(g.Forwards)
			for _, text := range args[1:] {
				f, err := network.ParseForward(text)
				if err != nil {
					return cli.UsageError{Err: err}
				}
				if want, err = change(want, f); err != nil {
					return err
				}
			}
			plan, err := planned(c, h, g, want)
			if err != nil {
				return err
			}
			if !dryRun {
				if _, err := h.SetForwards(c.Context(), g.UUID, want); err != nil {
					return err
				}
			}
			return flags.Print(c.OutOrStdout(), plan, func(w io.Writer) { fmt.Fprint(w, plan) })
		}
		c.AddCommand(sub)
	}
	edit("add", "let a port, ports or an address go to a guest", func(have []network.Forward, f network.Forward) ([]network.Forward, error) {
		return append(have, f), nil
	})
	edit("remove", "take forwards of a guest away", func(have []network.Forward, f network.Forward) ([]network.Forward, error) {
		i := slices.Index(have, f)
		if i < 0 {
			return nil, fmt.Errorf("the guest has no forward %v; forward list shows them", f)
		}
		return slices.Delete(have, i, i+1), nil
	})
	c.AddCommand(list(flags, open), check(flags, open))
	return c
}

// planned says what changes, and refuses what contradicts other guests.
func planned(c *cobra.Command, h *host.Host, g host.Guest, want []network.Forward) (network.Plan, error) {
	have, err := h.Network().Read(c.Context())
	if err != nil {
		return network.Plan{}, err
	}
	g.Forwards = want
	next := have.With(g.Network())
	return network.Diff(have, next), next.Validate()
}

// A row is one forward.
type row struct {
	Guest   string          `json:"guest,omitempty"` // empty: no guest of this host has that UUID
	UUID    uuid.UUID       `json:"uuid"`
	Forward network.Forward `json:"forward"`
	Text    string          `json:"text"`
	Wanted  bool            `json:"wanted"`
	InForce bool            `json:"in_force"`
}

// rows are the forwards of all guests that this host may run, and those that
// are in force without being wanted.
func rows(c *cobra.Command, h *host.Host) ([]row, error) {
	all, err := h.Guests(c.Context())
	if err != nil {
		return nil, err
	}
	have, err := h.Network().Read(c.Context())
	if err != nil {
		return nil, err
	}
	out, names := []row{}, map[uuid.UUID]string{}
	for _, s := range all {
		names[s.Guest.UUID] = s.Guest.Name
		if s.Owner.MayRun() != nil {
			continue
		}
		there, _ := have.Guest(s.Guest.UUID)
		for _, f := range s.Guest.Network().Normalize().Forwards {
			out = append(out, row{s.Guest.Name, s.Guest.UUID, f, f.String(), true, slices.Contains(there.Forwards, f)})
		}
	}
	for _, g := range have.Guests {
		for _, f := range g.Forwards {
			known := slices.ContainsFunc(out, func(r row) bool { return r.UUID == g.UUID && r.Forward == f })
			if !known {
				out = append(out, row{names[g.UUID], g.UUID, f, f.String(), false, true})
			}
		}
	}
	return out, nil
}

func list(flags *cli.Flags, open func() (*host.Host, error)) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "the forwards of all guests, and whether they are in force", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			h, err := open()
			if err != nil {
				return err
			}
			all, err := rows(c, h)
			if err != nil {
				return err
			}
			return flags.Print(c.OutOrStdout(), all, func(w io.Writer) {
				fmt.Fprintln(w, "GUEST\tFORWARD\tIN FORCE")
				for _, r := range all {
					fmt.Fprintf(w, "%s\t%s\t%v\n", cmp.Or(r.Guest, r.UUID.String()), r.Text, r.InForce)
				}
			})
		}}
}

// errDrift is what check ends with.
var errDrift = errors.New("not everything is as it should be; agent boot puts it right")

func check(flags *cli.Flags, open func() (*host.Host, error)) *cobra.Command {
	return &cobra.Command{Use: "check", Short: "compare what should be with what is in force; exit 1 if they differ", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			h, err := open()
			if err != nil {
				return err
			}
			all, err := rows(c, h)
			if err != nil {
				return err
			}
			wrong := slices.DeleteFunc(all, func(r row) bool { return r.Wanted && r.InForce })
			if err := flags.Print(c.OutOrStdout(), wrong, func(w io.Writer) {
				for _, r := range wrong {
					state := "is not in force"
					if !r.Wanted {
						state = "is in force, and not wanted"
					}
					fmt.Fprintf(w, "%s\t%s\t%s\n", cmp.Or(r.Guest, r.UUID.String()), r.Text, state)
				}
			}); err != nil || len(wrong) == 0 {
				return err
			}
			return errDrift
		}}
}
