package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
	"github.com/xenhost/xenhost/migrate/relay"
	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/host"
)

// TestRelay lets xl migrate and xl migrate-receive of two hosts speak through
// the relay alone: a gate that refuses leaves the guest running where it was,
// one that copies the disk while nobody runs lets it go.
func TestRelay(t *testing.T) {
	world := newWorld(t, xenlab.StartFull(t))
	for _, g := range []guest{web, db} {
		t.Run(g.kind, func(t *testing.T) {
			w := world.in(t)
			w.provision(g)
			d := w.definition(g)
			spec, err := json.Marshal(d.Spec(d.Devices()))
			require.NoError(t, err)
			w.run(w.islay, "lvcreate", "-qq", "-y", "-Wn", "-L", "32M", "-n", g.name, "guests")
			send := []string{"relaymove", "send", d.UUID.String()}
			if g.kind == "pv" {
				send = append(send, "suspended")
			}

			refused := errors.New("not now")
			err = w.join(send, string(spec), relay.Gate{Ready: func(context.Context) error {
				w.run(w.curacao, "xl", "list", "-v")
				w.run(w.islay, "xl", "list", "-v")
				return refused
			}})
			require.ErrorIs(t, err, refused)
			w.acknowledges(g, 3)
			assert.Equal(t, []string{"curacao"}, w.runs(g))
			w.run(w.islay, "xl", "list", "-v")

			err = w.join(send, string(spec), relay.Gate{
				Ready: func(context.Context) error { w.carry(g); return nil },
				Go: func(context.Context) error {
					w.run(w.curacao, "xl", "list", "-v")
					w.run(w.islay, "xl", "list", "-v")
					return nil
				},
			})
			require.NoError(t, err)
			w.acknowledges(g, 3)
			assert.Equal(t, []string{"islay"}, w.runs(g))
			acks := w.observer.Acks(g.name)
			assert.Equal(t, uint64(1), acks[len(acks)-1].Boot, "it never booted again")
			w.run(w.curacao, "xl", "list", "-v")
			w.run(w.curacao, "ls", "-la", "/run/xenhost")
		})
	}
}

// definition reads what a guest should be.
func (w *world) definition(g guest) host.Guest {
	w.t.Helper()
	var all []host.Status
	require.NoError(w.t, json.Unmarshal([]byte(w.run(w.curacao, "xenhost-agent", "list", "--json")), &all))
	for _, s := range all {
		if s.Guest.Name == g.name {
			return s.Guest
		}
	}
	w.t.Fatalf("no guest %s", g.name)
	return host.Guest{}
}

// carry copies a guest's disk to islay.
func (w *world) carry(g guest) {
	image := filepath.Join(w.t.TempDir(), "disk.img")
	require.NoError(w.t, w.curacao.Get(w.t.Context(), g.volume(), image))
	data, err := os.ReadFile(image)
	require.NoError(w.t, err)
	require.NoError(w.t, w.islay.Runner().Run(w.t.Context(), dom0.Cmd{
		Args: []string{"dd", "of=" + g.volume(), "bs=1M", "oflag=direct", "iflag=fullblock", "status=none"}, Stdin: bytes.NewReader(data),
	}))
	w.t.Logf("copied %d bytes", len(data))
}

// join runs both ends on their hosts, and Join here.
func (w *world) join(send []string, spec string, gate relay.Gate) error {
	ctx, cancel := context.WithTimeout(w.t.Context(), 15*time.Minute)
	defer cancel()
	ended := make(chan error, 2)
	end := func(h *xenlab.Host, argv ...string) net.Conn {
		ours, theirs := net.Pipe()
		go func() {
			var said strings.Builder
			err := h.Runner().Run(ctx, dom0.Cmd{Args: argv, Stdin: theirs, Stdout: justWriter{theirs}, Stderr: &said})
			w.t.Logf("%s: %s: %v\n%s", h.Name(), argv[1], err, said.String())
			theirs.Close()
			ended <- err
		}()
		return ours
	}
	source := end(w.curacao, send...)
	target := end(w.islay, "relaymove", "receive", spec)
	began := time.Now()
	err := relay.Join(ctx, source, target, gate, &relay.Options{Within: 2 * time.Minute})
	w.t.Logf("joined for %v: %v", time.Since(began).Round(time.Second), err)
	source.Close()
	target.Close()
	for range 2 {
		if e := <-ended; err == nil && e != nil {
			err = fmt.Errorf("an end: %w", e)
		}
	}
	return err
}

type justWriter struct{ io.Writer }
