package network_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
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
	for _, variant := range variants() {
		t.Run(variant, func(t *testing.T) {
			s := newSpace(t)
			s.ip(t, "link add xenint type bridge")
			locks := t.TempDir()
			var wait sync.WaitGroup
			for i := range byte(2) {
				order, err := json.Marshal(orders{s.path(), locks, variant, 1 + 10*i, 11 + 10*i})
				require.NoError(t, err)
				wait.Go(func() {
					c := exec.Command(os.Args[0])
					c.Env = append(os.Environ(), childEnv+"="+string(order))
					out, err := c.CombinedOutput()
					assert.NoError(t, err, "%s", out)
				})
			}
			wait.Wait()
			have, err := network.New(&network.Options{NetNS: s.path(), Firewall: variant, LockDir: locks}).Read(t.Context())
			require.NoError(t, err)
			var want network.State
			for n := range byte(20) {
				want.Guests = append(want.Guests, guest(n+1, forward(network.TCP, 8001+uint16(n), n+1, 80)))
			}
			assert.Equal(t, want.Normalize(), have)
		})
	}
}

// dying is a Runner whose process is killed before a table is written: from
// then on nothing runs any more.
type dying struct {
	dom0.Local
	before string
	dead   bool
}

func (d *dying) Run(ctx context.Context, cmd dom0.Cmd) error {
	if strings.HasSuffix(cmd.Args[0], "-restore") && !d.dead {
		text, err := io.ReadAll(cmd.Stdin)
		if err != nil {
			return err
		}
		d.dead = strings.HasPrefix(string(text), "*"+d.before)
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
			s.ip(t, "link add xenint type bridge")
			m := s.manager(t, variant)
			require.NoError(t, m.Set(t.Context(), guest(2)))
			s.run(t, "", variant, "-P", "FORWARD", "ACCEPT") // makes the table filter be there
			clean := s.saved(t, variant)
			killed := network.New(&network.Options{
				NetNS: s.path(), Firewall: variant, LockDir: t.TempDir(), Runner: &dying{before: "nat"}})
			require.Error(t, killed.Set(t.Context(), guest(1, forward(network.TCP, 8080, 1, 80))))
			have, err := m.Read(t.Context())
			require.NoError(t, err)
			assert.Equal(t, network.State{Guests: []network.Guest{guest(2)}}, have, "what nat does not say is not there")
			require.NoError(t, m.Remove(t.Context(), guest(1).UUID))
			assert.Equal(t, clean, s.saved(t, variant), "the next call mends it")
		})
	}
}

// meddler is a Runner that counts restores and can spoil those of a table.
type meddler struct {
	dom0.Local
	mu       sync.Mutex
	restores []string // tables, in order
	spoil    string
}

func (m *meddler) Run(ctx context.Context, cmd dom0.Cmd) error {
	if strings.HasSuffix(cmd.Args[0], "-restore") {
		text, err := io.ReadAll(cmd.Stdin)
		if err != nil {
			return err
		}
		script := string(text)
		table := strings.TrimPrefix(script[:strings.Index(script, "\n")], "*")
		m.mu.Lock()
		m.restores = append(m.restores, table)
		if m.spoil == table {
			script = strings.Replace(script, "COMMIT\n", "-A XH-META -j NOSUCHCHAIN-0\nCOMMIT\n", 1)
			m.spoil = ""
		}
		m.mu.Unlock()
		cmd.Stdin = strings.NewReader(script)
	}
	return m.Local.Run(ctx, cmd)
}

func TestBadRuleLeavesTheOldSet(t *testing.T) {
	needNamespaces(t)
	for _, variant := range variants() {
		for _, table := range []string{"filter", "nat"} {
			t.Run(variant+" "+table, func(t *testing.T) {
				s := newSpace(t)
				s.ip(t, "link add xenint type bridge", "link add xenint2 type bridge")
				spoiler := &meddler{}
				m := network.New(&network.Options{NetNS: s.path(), Firewall: variant, LockDir: t.TempDir(), Runner: spoiler})
				require.NoError(t, m.Set(t.Context(), guest(1, forward(network.TCP, 8080, 1, 80))))
				before := s.saved(t, variant)
				have, err := m.Read(t.Context())
				require.NoError(t, err)

				next := guest(1, forward(network.TCP, 8081, 1, 80))
				next.Ports[0].Bridge = "xenint2"
				spoiler.spoil = table
				var failed *dom0.Error
				require.ErrorAs(t, m.Set(t.Context(), next), &failed)
				assert.Equal(t, variant+"-restore", failed.Args[0])
				assert.Equal(t, before, s.saved(t, variant))

				spoiler.spoil = table
				_, err = m.Apply(t.Context(), network.State{Masquerades: []network.Masquerade{{Source: netip.MustParsePrefix("10.0.0.0/8"), Out: "x"}}})
				require.Error(t, err)
				assert.Equal(t, lines(before), lines(s.saved(t, variant)))
				again, err := m.Read(t.Context())
				require.NoError(t, err)
				assert.Equal(t, have, again)
			})
		}
	}
}

// lines are the lines of a text in no order, since rules in a chain of ours
// have none.
func lines(text string) map[string]int {
	out := map[string]int{}
	for line := range strings.Lines(text) {
		out[line]++
	}
	return out
}

func TestDriftIsSeenAndMended(t *testing.T) {
	needNamespaces(t)
	for _, variant := range variants() {
		t.Run(variant, func(t *testing.T) {
			s := newSpace(t)
			s.ip(t, "link add xenint type bridge")
			m := s.manager(t, variant)
			g := guest(1, forward(network.TCP, 8080, 1, 80))
			require.NoError(t, m.Set(t.Context(), g))
			whole := s.saved(t, variant)
			leaf := lineWith(whole, "DNAT --to")
			s.run(t, "*nat\n"+strings.Replace(leaf, "-A", "-D", 1)+"\n"+strings.Replace(leaf, "destination 192.168.0.11", "destination 192.168.0.66", 1)+"\nCOMMIT\n",
				variant+"-restore", "--noflush")
			have, err := m.Read(t.Context())
			require.NoError(t, err)
			assert.Equal(t, []network.Guest{guest(1)}, have.Guests, "a forward to elsewhere is not the guest's forward")
			require.NoError(t, m.Set(t.Context(), guest(2)))
			require.NoError(t, m.Remove(t.Context(), guest(2).UUID))
			assert.Equal(t, lines(whole), lines(s.saved(t, variant)), "another guest's change puts it right")

			s.run(t, "", variant, "-t", "nat", "-F", "PREROUTING")
			have, err = m.Read(t.Context())
			require.NoError(t, err)
			assert.Equal(t, []network.Guest{guest(1)}, have.Guests, "nothing leads to the forward")
			require.NoError(t, m.Set(t.Context(), g))
			assert.Equal(t, lines(whole), lines(s.saved(t, variant)), "the anchor is back")
		})
	}
}

// lineWith is the line of text that holds part.
func lineWith(text, part string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}
