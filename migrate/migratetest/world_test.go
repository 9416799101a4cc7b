package migratetest_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/migrate/migratetest"
)

func newWorld(t *testing.T, opts *migratetest.Options) *migratetest.World {
	t.Helper()
	w, err := migratetest.NewWorld(t.TempDir(), opts)
	require.NoError(t, err)
	t.Cleanup(w.Close)
	return w
}

func TestColdMove(t *testing.T) {
	w, ctx := newWorld(t, nil), t.Context()
	g, err := w.Provision(ctx, "curacao", w.Guest("web1", 8<<20))
	require.NoError(t, err)
	remote, err := w.Dial(ctx, "curacao", "islay")
	require.NoError(t, err)
	plan, err := migrate.PlanMove(ctx, w.Host("curacao"), remote, g.UUID, migrate.Cold, nil)
	require.NoError(t, err)
	t.Log("\n" + plan.String())
	report, err := plan.Run(ctx)
	require.NoError(t, err)
	assert.Equal(t, handover.Forward, report.Way)
	t.Logf("%+v", report)
	require.NoError(t, w.Settled(ctx, g.UUID))
	require.Equal(t, "islay", w.Where(ctx, g.UUID))
	require.NoError(t, w.Await(ctx, g.UUID, w.Acked(g.UUID)))
}
