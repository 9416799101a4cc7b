package confirm_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/nstest"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/confirm"
	"github.com/xenhost/xenhost/network/guard"
)

// The test binary is the keeper too, and a caller that can be killed:
//
//	confirm.test keep  NAMESPACE DIR
//	confirm.test apply NAMESPACE DIR WINDOW STATE
func TestMain(m *testing.M) {
	if len(os.Args) < 4 || os.Args[1] != "keep" && os.Args[1] != "apply" {
		os.Exit(m.Run())
	}
	if err := asProcess(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func asProcess(args []string) error {
	if args[0] == "keep" {
		return confirm.New(target(args[1], args[2]), options(args[1], args[2], 0)).Keep(context.Background())
	}
	window, err := time.ParseDuration(args[3])
	if err != nil {
		return err
	}
	var want confirm.State
	if err := json.Unmarshal([]byte(args[4]), &want); err != nil {
		return err
	}
	if _, err := confirm.New(target(args[1], args[2]), options(args[1], args[2], window)).Apply(context.Background(), want); err != nil {
		return err
	}
	fmt.Println("applied")
	select {} // until it is killed
}

func target(ns, dir string) confirm.Target {
	path := nstest.Space{Name: ns}.Path()
	return confirm.Target{
		Network: network.New(&network.Options{NetNS: path, LockDir: dir, Firewall: network.IPTables}), // iptables-save is what the tests look at
		Guard:   guard.New(&guard.Options{NetNS: path, LockDir: dir}),
		NetNS:   path,
	}
}

func options(ns, dir string, window time.Duration) *confirm.Options {
	return &confirm.Options{Keeper: []string{os.Args[0], "keep", ns, dir}, Dir: dir, Window: window}
}

// office is a dom0 on the Internet and an operator who reaches it from another
// network, through the bridge that dom0 has its address on. All of that bridge
// is ours.
type office struct {
	dom0, operator nstest.Space
	dir            string
	target         confirm.Target
	line           net.Conn // the operator's, open since the beginning
}

const controlPort = 2222

// base is the network as it is confirmed.
func base() confirm.State {
	return confirm.State{
		Network: &network.State{
			Bridges: []network.Bridge{{
				Name: "xenext", Ports: []string{"eth0"}, Addresses: []netip.Prefix{netip.MustParsePrefix("203.0.113.1/24")},
			}},
			Masquerades: []network.Masquerade{{Source: netip.MustParsePrefix("192.168.0.0/16"), Out: "xenext"}},
			Guests:      []network.Guest{tenant(1)},
		},
		Guard: &guard.State{Guests: []guard.Guest{guard.Of(tenant(1))}},
	}
}

func newOffice(t *testing.T) *office {
	t.Helper()
	nstest.Need(t, "nft", "iptables", "setsid")
	o := &office{dom0: nstest.New(t), operator: nstest.New(t), dir: t.TempDir()}
	t.Cleanup(func() { // a keeper that is left would outlive its namespace
		for _, pid := range o.processes(t, "keep") {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	})
	o.target = target(o.dom0.Name, o.dir)
	o.operator.IP(t, "link add isp type veth peer name eth0 netns "+o.dom0.Name, "address add 203.0.113.254/24 dev isp",
		"address add 198.51.100.7/32 dev lo", "link set isp up")
	o.dom0.IP(t, "link set eth0 up")
	_, err := o.target.Guard.Apply(t.Context(), *base().Guard)
	require.NoError(t, err)
	_, err = o.target.Network.Apply(t.Context(), *base().Network)
	require.NoError(t, err)
	o.dom0.IP(t, "route add default via 203.0.113.254 proto static")
	o.listen(t)
	o.line, err = o.dial(5 * time.Second)
	require.NoError(t, err)
	t.Cleanup(func() { _ = o.line.Close() })
	return o
}

// listen lets dom0 echo what comes in at the control port, as sshd would.
func (o *office) listen(t *testing.T) {
	o.dom0.Inside(t, func() error {
		l, err := net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", controlPort))
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					_, _ = io.Copy(c, c)
					_ = c.Close()
				}()
			}
		}()
		return nil
	})
}

// dial makes a control connection; patience is for all of it.
func (o *office) dial(patience time.Duration) (c net.Conn, err error) {
	err = o.operator.Do(func() (err error) {
		d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(198, 51, 100, 7)}}
		c, err = d.Dial("tcp4", fmt.Sprintf("203.0.113.1:%d", controlPort))
		return err
	})
	return c, err
}

func echo(c net.Conn, patience time.Duration) error {
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write([]byte("?")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}

// alive tells whether the operator can log in now.
func (o *office) alive(patience time.Duration) bool {
	c, err := o.dial(patience)
	if err != nil {
		return false
	}
	defer c.Close()
	return echo(c, patience) == nil
}

// hurry ends the time of the pending change now.
func (o *office) hurry(t *testing.T) {
	t.Helper()
	var now unix.Timespec
	require.NoError(t, unix.ClockGettime(unix.CLOCK_BOOTTIME, &now))
	o.edit(t, "deadline", now.Nano())
}

// edit changes a field of the pending change, which keepers read meanwhile.
func (o *office) edit(t *testing.T, field string, value any) {
	t.Helper()
	path := filepath.Join(o.dir, "pending.json")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var pending map[string]any
	require.NoError(t, json.Unmarshal(text, &pending))
	pending[field] = value
	text, err = json.Marshal(pending)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path+".new", text, 0o600))
	require.NoError(t, os.Rename(path+".new", path))
}

// processes are our own, of this office, that do the verb.
func (o *office) processes(t *testing.T, verb string) (pids []int) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, path := range all {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it ended
		}
		argv := strings.Split(string(text), "\x00")
		if len(argv) > 3 && argv[0] == os.Args[0] && argv[1] == verb && argv[3] == o.dir {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			require.NoError(t, err)
			pids = append(pids, pid)
		}
	}
	return pids
}

// isBase checks that the network is as it was confirmed, down to the route.
func (o *office) isBase(t *testing.T) {
	t.Helper()
	have, err := o.target.Network.Read(t.Context())
	require.NoError(t, err)
	assert.Equal(t, base().Network.Normalize(), have)
	g, err := o.target.Guard.Read(t.Context())
	require.NoError(t, err)
	assert.Equal(t, base().Guard.Normalize(), g)
	assert.Contains(t, o.dom0.Run(t, "", "ip", "route"), "default via 203.0.113.254 dev xenext")
	assert.True(t, o.alive(20*time.Second), "the operator can log in")
	assert.NoError(t, echo(o.line, time.Minute), "the connection from the beginning is alive")
}
