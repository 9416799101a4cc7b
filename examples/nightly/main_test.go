package main

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/migratetest"
	"github.com/xenhost/xenhost/xen/host"
)

// TestNights: what an admin types, in its order, and what monitoring gets.
func TestNights(t *testing.T) {
	w, err := migratetest.NewWorld(t.TempDir(), nil)
	require.NoError(t, err)
	t.Cleanup(w.Close)
	curacao, islay := w.Host("curacao"), w.Host("islay")
	for i := range 2 {
		_, err := curacao.Provision(t.Context(), w.Guest(fmt.Sprintf("web%d", i), 1<<20), &host.ProvisionOptions{Stopped: true})
		require.NoError(t, err)
	}
	var out bytes.Buffer
	c := &cobra.Command{}
	c.SetOut(&out)
	said := func() string { defer out.Reset(); return out.String() }
	peer, err := w.Dial(t.Context(), "curacao", "islay")
	require.NoError(t, err)
	o := &options{maxAge: time.Hour}
	check := func(code int) string {
		t.Helper()
		err := o.check(t.Context(), c, curacao, peer, nil)
		if code == 0 {
			require.NoError(t, err)
			return said()
		}
		var status cli.Status
		require.ErrorAs(t, err, &status)
		require.Equal(t, code, status.Code)
		return said()
	}

	assert.Contains(t, check(2), "the peer has no replica")
	o.dryRun = true
	require.NoError(t, o.run(t.Context(), c, curacao, peer, []string{"web0"}))
	assert.Contains(t, said(), "replicate web0 from curacao to islay")
	o.dryRun = false
	require.NoError(t, o.run(t.Context(), c, curacao, peer, []string{"web0"}))
	assert.Contains(t, said(), "generation 1")
	assert.Contains(t, check(2), "fresh")
	require.NoError(t, o.run(t.Context(), c, curacao, peer, nil))
	assert.Contains(t, said(), "generation 2")
	assert.NotContains(t, check(0), "stale")
	o.maxAge = 0
	assert.Contains(t, check(1), "stale")
	require.NoError(t, o.kept(t.Context(), &out, islay))
	assert.Contains(t, said(), "of curacao")

	w.PowerOff("curacao")
	o.dead, o.vouch = "curacao", "powered off"
	o.promote.DryRun = true
	require.NoError(t, o.promoted(t.Context(), &out, islay, "web1"))
	assert.Contains(t, said(), "web1 would be on islay, with generation 1 of curacao")
	o.promote.DryRun, o.JSON = false, true
	require.NoError(t, o.promoted(t.Context(), &out, islay, "web1"))
	assert.Contains(t, said(), `"vouch": "powered off"`)
	o.JSON = false

	err = o.run(t.Context(), c, curacao, gone{migrate.ErrUnreachable}, nil)
	require.ErrorIs(t, err, migrate.ErrUnreachable)
	var status cli.Status
	require.ErrorAs(t, o.check(t.Context(), c, curacao, gone{migrate.ErrUnreachable}, nil), &status)
	assert.Equal(t, 3, status.Code)
}

// TestCommandLine: what is missing is named, and nothing is tried.
func TestCommandLine(t *testing.T) {
	for _, args := range [][]string{{"run"}, {"check", "web1"}, {"promote", "web1"}, {"promote", "web1", "--dead", "curacao"}} {
		c := command(&options{})
		c.SetArgs(args)
		c.SilenceErrors, c.SilenceUsage = true, true
		var usage cli.UsageError
		require.ErrorAs(t, c.ExecuteContext(t.Context()), &usage, "%v", args)
	}
}
