// Blocksync makes a file, a volume or a disk equal to another one, here or on
// another host, and sends the blocks that changed.
//
//	blocksync /dev/guests/web1 ssh:root@islay:/dev/guests/web1
//	blocksync --index /var/lib/web1.index /dev/guests/web1-snap ssh:root@islay:/dev/guests/web1
//	blocksync disk.img copy.img
//
// Without --index the target tells what it has, as hashes under a key that is
// new each time, and is written in place. With it, what the target has is
// written down here: the target is neither read nor asked, holds one whole
// generation at any moment, and a transfer that was cut goes on where it was.
// The source is read as it is; take a snapshot of one that is being written to.
//
// The other host needs blocksync in its PATH, or --remote. Exit codes: 0 the
// two are equal, 1 failed (run it again), 2 wrong command line.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/xen/dom0"
)

type options struct {
	push   blockcopy.PushOptions
	limit  cli.Size
	json   bool
	state  string
	remote string
	ssh    []string
	runner dom0.Runner
}

func main() { cli.Main(command(dom0.Local{}), nil) }

func command(runner dom0.Runner) *cobra.Command {
	o := options{runner: runner}
	c := &cobra.Command{Use: "blocksync SRC DST|ssh:HOST:DST", Short: "make DST equal to SRC"}
	c.Args = func(_ *cobra.Command, args []string) error {
		if len(args) != 2 {
			return cli.Usage("SRC and DST are needed")
		}
		return nil
	}
	f := c.Flags()
	f.StringVar(&o.push.Index, "index", "", "the file that says what DST has; made the first time")
	f.Var(&o.limit, "limit", "bytes to send in a second, as 40M")
	f.BoolVar(&o.push.Verify, "verify", false, "read all of both again and compare")
	f.BoolVar(&o.push.Whole, "whole", false, "send all, whatever DST has")
	f.BoolVar(&o.push.Fresh, "fresh", false, "DST reads as zeros: a new thin volume")
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.StringVar(&o.remote, "remote", "blocksync", "the command there")
	f.StringArrayVar(&o.ssh, "ssh-option", nil, "option for ssh, as -i; may be repeated")
	c.PersistentFlags().StringVar(&o.state, "state", "", "the folder for what targets with an index remember (default: beside a file, /var/lib/xenhost/blockcopy for devices)")
	c.RunE = func(c *cobra.Command, args []string) error {
		return o.run(c.Context(), c.OutOrStdout(), args[0], args[1])
	}
	c.AddCommand(&cobra.Command{Use: "serve", Hidden: true, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		return o.serve(context.WithoutCancel(c.Context()))
	}})
	return c
}

func (o *options) run(ctx context.Context, out io.Writer, from, to string) error {
	src, err := blockcopy.OpenSource(from)
	if err != nil {
		return err
	}
	defer src.Close()
	conn, path, err := o.connect(ctx, from, to)
	if err != nil {
		return err
	}
	bar := cli.NewBar(os.Stderr, from, src.Size())
	o.push.Limit = int64(o.limit)
	o.push.Progress = func(p blockcopy.Progress) { bar.Set(p.Offset) }
	began := time.Now()
	report, err := blockcopy.Push(ctx, conn, src, path, &o.push)
	bar.Done()
	if err != nil {
		return err
	}
	r := result{
		Sent: report.Sent, Received: report.Received, Size: src.Size(), Read: report.Stats.Read, Data: report.Stats.Data, Zeros: report.Stats.Zeros,
		How: report.How, Seconds: time.Since(began).Seconds(), SHA256: report.Sum,
	}
	if o.push.Index != "" {
		r.Generation = report.Generation.String()
	}
	if o.json {
		return json.NewEncoder(out).Encode(r)
	}
	return r.print(out)
}

// result is the line of --json; numbers are bytes.
type result struct {
	Sent       int64         `json:"sent"`     // to the target, everything included
	Received   int64         `json:"received"` // from it
	Size       int64         `json:"size"`
	Read       int64         `json:"read"`  // of the source
	Data       int64         `json:"data"`  // of the source that was sent as data
	Zeros      int64         `json:"zeros"` // and as the word that it is zeros
	How        blockcopy.How `json:"how"`   // the changes were found
	Seconds    float64       `json:"seconds"`
	Generation string        `json:"generation,omitempty"`
	SHA256     string        `json:"sha256,omitempty"`
}

func (r result) print(out io.Writer) error {
	_, err := fmt.Fprintf(out, "%s of %s differed (by %s): %s sent, %s back, in %.1f s\n",
		cli.Bytes(r.Data+r.Zeros), cli.Bytes(r.Size), r.How, cli.Bytes(r.Sent), cli.Bytes(r.Received), r.Seconds)
	if err == nil && r.SHA256 != "" {
		_, err = fmt.Fprintf(out, "sha256 %s at both ends\n", r.SHA256)
	}
	return err
}

// parseTarget takes DST apart; host is "" for one here.
func parseTarget(to string) (host, path string, err error) {
	rest, remote := strings.CutPrefix(to, "ssh:")
	if !remote {
		return "", to, nil
	}
	host, path, ok := strings.Cut(rest, ":/")
	if !ok || host == "" {
		return "", "", cli.Usage("%q is not ssh:HOST:/PATH", to)
	}
	if v6, ok := strings.CutPrefix(host, "["); ok {
		host = strings.TrimSuffix(v6, "]")
	}
	return host, "/" + path, nil
}

var errSame = errors.New("source and target are the same")
