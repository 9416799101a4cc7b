package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/accounting"
	"github.com/xenhost/xenhost/accounting/accountingtest"
)

var web1 = uuid.MustParse("7f3a0000-0000-4000-8000-000000000001")

// newApp is a host with a ledger in which web1 received 1 MB a minute, for an
// hour until now.
func newApp(t *testing.T) *app {
	dir := t.TempDir()
	a := &app{path: filepath.Join(dir, "ledger.db"), classes: filepath.Join(dir, "classes.json")}
	a.Settings = filepath.Join(dir, "host.json")
	require.NoError(t, os.WriteFile(a.Settings, []byte(`{"name":"curacao","state_dir":"`+dir+`"}`), 0o600))
	ledger, err := a.ledger(t.Context())
	require.NoError(t, err)
	defer ledger.Close()
	began := time.Now().Add(-62 * time.Minute)
	for i := range 61 {
		require.NoError(t, ledger.Fold(t.Context(), accountingtest.Reading(began, time.Duration(1+i)*time.Minute, accountingtest.Counted(web1, "a", uint64(i)*1e6))))
	}
	return a
}

func do(t *testing.T, c *cobra.Command, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	c.SetArgs(args)
	c.SetOut(&out)
	require.NoError(t, c.ExecuteContext(t.Context()))
	return out.String()
}

func TestCommands(t *testing.T) {
	a := newApp(t)
	id := web1.String()
	assert.Contains(t, do(t, top(a), "--span", "2h"), id)
	assert.Regexp(t, "DAY +IN GB", do(t, month(a), id))
	assert.Contains(t, do(t, p95(a), id), "P95 MBIT/S")
	a.JSON = true
	var s accounting.Statement
	require.NoError(t, json.Unmarshal([]byte(do(t, p95(a), id, "--skip-missing")), &s))
	assert.LessOrEqual(t, s.In, int64(60e6))
	assert.Positive(t, s.Rate)
	a.JSON = false

	do(t, quotas(a), "set", id, "--limit", "1", "--warn", "90", "--soft")
	assert.Regexp(t, id+` +0\.0\d\d +1\.000`, do(t, quotas(a), "show"))
	assert.NotEmpty(t, do(t, statement(a), "--format", "csv"))
	for _, name := range []string{"web1.svg", "web1.png"} {
		file := filepath.Join(t.TempDir(), name)
		do(t, graph(a), id, "-o", file)
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Greater(t, len(text), 2000)
	}
}
