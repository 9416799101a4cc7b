package main

import (
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/spf13/cobra"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/shaping/diskrate"
	"github.com/xenhost/xenhost/xen/host"
)

func disk(flags *cli.Flags) *cobra.Command {
	var read, write cli.Size
	var readOps, writeOps int64
	c := &cobra.Command{Use: "disk GUEST DEV", Short: "limit how fast a guest reads and writes a disk; what is not named stays", Args: cobra.ExactArgs(2)}
	f := c.Flags()
	f.Var(&read, "read", "bytes a second, as 50M")
	f.Var(&write, "write", "bytes a second")
	f.Int64Var(&readOps, "read-ops", 0, "requests a second")
	f.Int64Var(&writeOps, "write-ops", 0, "requests a second")
	none := f.Bool("unlimited", false, "take off what was set before")
	c.RunE = func(c *cobra.Command, args []string) error {
		h, err := flags.Open()
		if err != nil {
			return err
		}
		g, err := h.Find(c.Context(), args[0])
		if err != nil {
			return err
		}
		i := slices.IndexFunc(g.Disks, func(d host.Disk) bool { return d.Dev == args[1] })
		if i < 0 {
			return fmt.Errorf("disk %s of %s: %w", args[1], g.Name, fs.ErrNotExist)
		}
		l := g.Disks[i].Limit
		if *none {
			l = diskrate.Limit{}
		}
		for name, set := range map[string]func(){
			"read":      func() { l.ReadBytes = int64(read) },
			"write":     func() { l.WriteBytes = int64(write) },
			"read-ops":  func() { l.ReadOps = readOps },
			"write-ops": func() { l.WriteOps = writeOps },
		} {
			if f.Changed(name) {
				set()
			}
		}
		if err := l.Validate(); err != nil {
			return cli.UsageError{Err: err}
		}
		if err := h.LimitDisk(c.Context(), g.UUID, args[1], l); err != nil {
			return err
		}
		return flags.Print(c.OutOrStdout(), l, func(w io.Writer) { fmt.Fprintf(w, "%s\t%s\t%v\n", g.Name, args[1], l) })
	}
	return c
}
