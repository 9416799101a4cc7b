package migrate_test

import (
	"context"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/migrate/migratetest"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
)

// world is two hosts and a guest that runs on curacao, to be moved to islay.
type world struct {
	*migratetest.World
	t        *testing.T
	guest    host.Guest
	mode     migrate.Mode
	from, to string
}

func newWorld(t *testing.T, opts *migratetest.Options) world {
	t.Helper()
	w, err := migratetest.NewWorld(folder(t), opts)
	require.NoError(t, err)
	t.Cleanup(w.Close)
	g, err := w.Provision(t.Context(), "curacao", w.Guest("web1", 1<<20))
	require.NoError(t, err)
	return world{World: w, t: t, guest: g, mode: migrate.Cold, from: "curacao", to: "islay"}
}

// folder is for the files of a World: in memory where the machine has a place
// for that, since a World does not model what a disk loses, and to wait for a
// real one is most of the time that a test takes.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "xenhost-") //nolint:usetesting // which is on a disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// newWorldOf is newWorld with a guest of some type.
func newWorldOf(t *testing.T, typ xen.Type) world {
	t.Helper()
	w, err := migratetest.NewWorld(folder(t), nil)
	require.NoError(t, err)
	t.Cleanup(w.Close)
	def := w.Guest("web1", 1<<20)
	def.Type = typ
	g, err := w.Provision(t.Context(), "curacao", def)
	require.NoError(t, err)
	return world{World: w, t: t, guest: g, mode: migrate.Cold, from: "curacao", to: "islay"}
}

// pair returns both hosts as a program on the host `on` sees them: itself near,
// the other one far.
func (w world) pair(on string) (curacao, islay migrate.Host, err error) {
	if on == "curacao" {
		far, err := w.Dial(w.t.Context(), "curacao", "islay")
		return w.Host("curacao"), far, err
	}
	far, err := w.Dial(w.t.Context(), "islay", "curacao")
	return far, w.Host("islay"), err
}

// move plans and runs a move of the guest to islay by a mover on that host.
func (w world) move(ctx context.Context, mover string, opts *migrate.Options) (migrate.Report, error) {
	from, to, err := w.pair(mover)
	if err != nil {
		return migrate.Report{}, err
	}
	if w.from == "islay" {
		from, to = to, from
	}
	plan, err := migrate.PlanMove(ctx, from, to, w.guest.UUID, w.mode, opts)
	if err != nil {
		return migrate.Report{}, err
	}
	return plan.Run(ctx)
}

func (w world) resume(on string, opts *migrate.Options) (migrate.Report, error) {
	a, b, err := w.pair(on)
	if err != nil {
		return migrate.Report{}, err
	}
	return migrate.Resume(w.t.Context(), a, b, w.guest.UUID, opts)
}

// lives requires that all is well: one owner, which it returns, whose copy
// runs, has all records, and writes more.
func (w world) lives(what string) string {
	w.t.Helper()
	require.NoError(w.t, w.Settled(w.t.Context(), w.guest.UUID), what)
	w.writes(what)
	return w.Where(w.t.Context(), w.guest.UUID)
}

// writes requires that some copy of the guest goes on.
func (w world) writes(what string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	require.NoError(w.t, w.Await(ctx, w.guest.UUID, w.Acked(w.guest.UUID)), what)
}

// steps counts steps and dies before number n; -1 is never.
type steps struct {
	n    int
	seen []handover.Step
}

func (s *steps) options() *migrate.Options {
	return &migrate.Options{OnStep: func(step handover.Step) error {
		if len(s.seen) == s.n {
			migratetest.Die()
		}
		s.seen = append(s.seen, step)
		return nil
	}}
}

// ladder returns the steps of a move that goes well.
func ladder(t *testing.T) []handover.Step {
	t.Helper()
	w, s := newWorld(t, nil), &steps{n: -1}
	_, err := w.move(t.Context(), "curacao", s.options())
	require.NoError(t, err)
	return s.seen
}

func names(all []handover.Step) (n []handover.Name) {
	for _, s := range all {
		n = append(n, s.Name)
	}
	return n
}

// addrPort is a port of a guest's first address.
func addrPort(g host.Guest, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(g.Nics[0].Addresses[0], port)
}
