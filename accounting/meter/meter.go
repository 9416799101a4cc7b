package meter

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/xenhost/xenhost/accounting"
	"github.com/xenhost/xenhost/internal/flock"
	"github.com/xenhost/xenhost/xen/dom0"
)

// Options of New; nil and the zero value are right for a dom0.
type Options struct {
	Classes Classes
	NetNS   string // path of the network namespace to work in; "" is ours
	LockDir string // holds the lock that all processes of a host share; "" is /run/lock/xenhost
	Runner  dom0.Runner
	Log     *slog.Logger // gets what was changed (Info); nil is silent
}

// Linux counts the traffic of the guests of this host.
type Linux struct {
	opts Options
	mu   sync.Mutex
	conn *conn
}

// New returns the meter of this host. It needs root, nft, and touches nothing
// yet.
func New(opts *Options) *Linux {
	l := &Linux{}
	if opts != nil {
		l.opts = *opts
	}
	if l.opts.LockDir == "" {
		l.opts.LockDir = "/run/lock/xenhost"
	}
	if l.opts.Runner == nil {
		l.opts.Runner = dom0.Local{Log: l.opts.Log}
	}
	if l.opts.Log == nil {
		l.opts.Log = slog.New(slog.DiscardHandler)
	}
	return l
}

// patience bounds an operation, beyond the caller's own deadline.
const patience = time.Minute

// do runs one operation, alone on this host.
func (l *Linux) do(ctx context.Context, work func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	release, err := flock.Wait(ctx, filepath.Join(l.opts.LockDir, "meter.lock"))
	if err != nil {
		return err
	}
	defer release()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		if l.conn, err = dial(l.opts.NetNS); err != nil {
			return err
		}
	}
	if err = work(ctx); err != nil { // no late answer may be taken for another question's
		l.conn.close()
		l.conn = nil
	}
	return err
}

// nft runs one transaction.
func (l *Linux) nft(ctx context.Context, input string) error {
	argv := []string{"nft", "-f", "-"}
	if l.opts.NetNS != "" {
		argv = append([]string{"nsenter", "--net=" + l.opts.NetNS}, argv...)
	}
	return l.opts.Runner.Run(ctx, dom0.Cmd{Args: argv, Stdin: strings.NewReader(input)})
}

// Source is the traffic of ports, which are asked for before each reading.
func (l *Linux) Source(ports func(context.Context) ([]Port, error)) accounting.Source {
	return source{"network/1", func(ctx context.Context) ([]accounting.Sample, error) {
		want, err := ports(ctx)
		if err != nil {
			return nil, err
		}
		return l.Read(ctx, want)
	}}
}

// Sync makes the tables count these ports, as before a guest sends its first
// frame; others are left alone.
func (l *Linux) Sync(ctx context.Context, ports []Port) error {
	_, err := l.read(ctx, ports, false)
	return err
}

// Read returns what all ports have counted, and makes the tables count these:
// new ones begin at 0, those that are not in the list are read for the last time.
// Tables that somebody removed are made anew.
func (l *Linux) Read(ctx context.Context, ports []Port) ([]accounting.Sample, error) {
	return l.read(ctx, ports, true)
}

func (l *Linux) read(ctx context.Context, ports []Port, all bool) (out []accounting.Sample, err error) {
	want := map[Port]bool{}
	vifs := map[string]bool{}
	for _, p := range ports {
		if err := p.validate(); err != nil {
			return nil, err
		}
		if vifs[p.Vif] {
			return nil, fmt.Errorf("vif %s twice: %w", p.Vif, accounting.ErrInvalid)
		}
		vifs[p.Vif], want[p] = true, true
	}
	if err := l.opts.Classes.validate(); err != nil {
		return nil, err
	}
	err = l.do(ctx, func(ctx context.Context) error {
		have, made, err := l.conn.look()
		if err != nil {
			return err
		}
		var change strings.Builder
		if !made {
			change.WriteString(tables(l.opts.Classes))
		} else if err := l.reclass(&change); err != nil {
			return err
		}
		told := map[string]bool{} // of which guest's device there is a sample
		tell := func(e *entry) {
			if name := e.port.Guest.String() + e.port.Dev; !told[name] {
				told[name] = true
				out = append(out, samples(e)...)
			}
		}
		for p, e := range have {
			switch {
			case !e.whole() || p.Guest != e.port.Guest:
				dropPort(&change, *e) // somebody took a part of it: all of it begins anew
				delete(have, p)
			case !want[p] && (all || vifs[p.Vif]):
				dropPort(&change, *e)
				tell(e) // for the last time; one in its place tells in the next reading
			case !want[p]:
				tell(e)
			}
		}
		for p := range want {
			e := have[p]
			if e == nil {
				e = &entry{port: p, epoch: newEpoch()}
				addPort(&change, p, e.epoch)
				l.opts.Log.Info("accounting: counts", "vif", p.Vif, "guest", p.Guest)
			}
			tell(e)
		}
		if change.Len() == 0 {
			return nil
		}
		return l.nft(ctx, change.String())
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func samples(e *entry) []accounting.Sample {
	out := make([]accounting.Sample, 0, len(e.counts))
	for m, c := range e.counts {
		out = append(out, accounting.Sample{Guest: e.port.Guest, Key: accounting.Key{Dev: e.port.Dev, Metric: accounting.Metric(m)}, Epoch: e.epoch, Value: c.bytes})
	}
	return out
}

// newEpoch is a name that nothing else has.
func newEpoch() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}
