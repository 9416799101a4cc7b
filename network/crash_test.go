package network_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/xen/dom0"
)

// childEnv makes the test binary a second process that sets guests; it holds
// the child's orders.
const childEnv = "XENHOST_NETWORK_TEST_CHILD"

type orders struct {
	NetNS, LockDir, IPTables string
	From, To                 byte
}

func TestMain(m *testing.M) {
	text, child := os.LookupEnv(childEnv)
	if !child {
		os.Exit(m.Run())
	}
	var o orders
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	linux := network.New(&network.Options{NetNS: o.NetNS, LockDir: o.LockDir, Firewall: o.IPTables})
	for n := o.From; n < o.To; n++ {
		if err := linux.Set(context.Background(), guest(n, forward(network.TCP, 8000+uint16(n), n, 80))); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	os.Exit(0)
}

func TestTwoProcesses(t *testing.T) {
	needNamespaces(t)
	for _, variant := range firewalls() {
		t.Run(variant, func(t *testing.T) {
			s := newSpace(t)
			s.IP(t, "link add xenint type bridge")
			locks := t.TempDir()
			var wait sync.WaitGroup
			for i := range byte(2) {
				order, err := json.Marshal(orders{s.Path(), locks, variant, 1 + 10*i, 11 + 10*i})
				require.NoError(t, err)
				wait.Go(func() {
					c := exec.Command(os.Args[0])
					c.Env = append(os.Environ(), childEnv+"="+string(order))
					out, err := c.CombinedOutput()
					assert.NoError(t, err, "%s", out)
				})
			}
			wait.Wait()
			have, err := network.New(&network.Options{NetNS: s.Path(), Firewall: variant, LockDir: locks}).Read(t.Context())
			require.NoError(t, err)
			var want network.State
			for n := range byte(20) {
				want.Guests = append(want.Guests, guest(n+1, forward(network.TCP, 8001+uint16(n), n+1, 80)))
			}
			assert.Equal(t, want.Normalize(), have)
		})
	}
}

// dying is a Runner whose process is killed before a table is written, or with
// nft before the transaction that begins so: from then on nothing runs any more.
type dying struct {
	dom0.Local
	before string
	dead   bool
}

func (d *dying) Run(ctx context.Context, cmd dom0.Cmd) error {
	if (strings.HasSuffix(cmd.Args[0], "-restore") || len(cmd.Args) > 1 && cmd.Args[1] == "-f") && !d.dead {
		text, err := io.ReadAll(cmd.Stdin)
		if err != nil {
			return err
		}
		d.dead = strings.HasPrefix(strings.TrimSpace(string(text)), d.before)
		cmd.Stdin = strings.NewReader(string(text))
	}
	if d.dead {
		return &dom0.Error{Args: cmd.Args, ExitCode: -1, Err: errors.New("killed")}
	}
	return d.Local.Run(ctx, cmd)
}

func TestKilledBetweenTables(t *testing.T) {
	needNamespaces(t)
	for _, variant := range variants() {
		t.Run(variant, func(t *testing.T) {
			s := newSpace(t)
			s.IP(t, "link add xenint type bridge")
			m := s.manager(t, variant)
			require.NoError(t, m.Set(t.Context(), guest(2)))
			s.Run(t, "", variant, "-P", "FORWARD", "ACCEPT") // makes the table filter be there
			clean := s.saved(t, variant)
			killed := network.New(&network.Options{
				NetNS: s.Path(), Firewall: variant, LockDir: t.TempDir(), Runner: &dying{before: "*nat"}})
			require.Error(t, killed.Set(t.Context(), guest(1, forward(network.TCP, 8080, 1, 80))))
			have, err := m.Read(t.Context())
			require.NoError(t, err)
			assert.Equal(t, network.State{Guests: []network.Guest{guest(2)}}, have, "what nat does not say is not there")
			require.NoError(t, m.Remove(t.Context(), guest(1).UUID))
			assert.Equal(t, clean, s.saved(t, variant), "the next call mends it")
		})
	}
}

// TestKilledBetweenTransactions: nft changes both families in one step, and
// keeps the hash of new chains in a second one. A process that is killed before
// either of them leaves all or nothing, and what it has not sealed is not
// trusted until the next call has.
func TestKilledBetweenTransactions(t *testing.T) {
	needNamespaces(t)
	g := dual(1, "tcp *:8080 -> 192.168.0.11:80", "tcp *:8080 -> [fd00::11]:80")
	for before, there := range map[string]bool{"table ip ": false, "add element ip xenhost facts": true} {
		s := newSpace(t)
		s.IP(t, "link add xenint type bridge")
		m := s.manager(t, network.NFT)
		killed := network.New(&network.Options{NetNS: s.Path(), Firewall: network.NFT, LockDir: t.TempDir(), Runner: &dying{before: before}})
		require.Error(t, killed.Set(t.Context(), g), before)
		ruleset := s.saved(t, network.NFT)
		assert.Equal(t, there, strings.Contains(ruleset, "8080"), before)
		have, err := m.Read(t.Context())
		require.NoError(t, err)
		assert.NotEqual(t, network.State{Guests: []network.Guest{g}}.Normalize(), have, before)
		require.NoError(t, m.Set(t.Context(), g))
		have, err = m.Read(t.Context())
		require.NoError(t, err)
		assert.Equal(t, network.State{Guests: []network.Guest{g}}.Normalize(), have, before)
		require.NoError(t, m.Remove(t.Context(), g.UUID))
		assert.Empty(t, s.saved(t, network.NFT), "%s: the next call mends it", before)
	}
}

// meddler is a Runner that counts what is read and written, and can spoil the
// writing of a table ("" with nft).
type meddler struct {
	dom0.Local
	mu     sync.Mutex
	reads  int      // of all rules, of IPv4
	writes []string // tables, in order
	spoil  func(table, script string) string
}

func (m *meddler) forget() { m.reads, m.writes = 0, nil }

func (m *meddler) Run(ctx context.Context, cmd dom0.Cmd) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch name := cmd.Args[0]; {
	case strings.HasSuffix(name, "-restore") || name == "nft" && cmd.Args[1] == "-f":
		text, err := io.ReadAll(cmd.Stdin)
		if err != nil {
			return err
		}
		script := string(text)
		table := ""
		if rest, ok := strings.CutPrefix(script, "*"); ok {
			table, _, _ = strings.Cut(rest, "\n")
		}
		m.writes = append(m.writes, table)
		if m.spoil != nil {
			script = m.spoil(table, script)
		}
		cmd.Stdin = strings.NewReader(script)
	case strings.HasPrefix(name, "iptables") && strings.HasSuffix(name, "-save") || slices.Equal(cmd.Args, []string{"nft", "list", "table", "ip", "xenhost"}):
		m.reads++
	}
	return m.Local.Run(ctx, cmd)
}
