package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/internal/lab/xenlab"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/island"
)

// TestClone: a guest that runs is cloned twice. The clone boots from a copy on
// write, with the guest's address, and nobody but the Internet meets it; the
// guest goes on. The first clone is discarded and leaves nothing, the second one
// becomes the guest, and then the guest is given back what it was.
func TestClone(t *testing.T) {
	w := newCloneWorld(t)
	t.Run("islands in dom0", func(t *testing.T) {
		r := w.curacao.Test(t, "github.com/xenhost/xenhost/network/island", &xenlab.TestOptions{Timeout: 10 * time.Minute})
		t.Logf("RESULT network/island in dom0: %d passed, %d failed, skipped %v", r.Passed, r.Failed, r.Skipped)
	})
	before := w.fabric()
	w.provision(web)
	with := w.fabric()

	first := w.clone("first")
	w.isAlone(first)
	w.acknowledges(web, 3)
	w.answers(web, w.curacao)
	at := w.records(web, w.curacao)
	require.EqualValues(t, 1, at.Boots, "the guest's disk knows nothing of the clone's boot")
	w.run(w.curacao, "xenhost-clone", "discard", first.name)
	require.Equal(t, with, w.fabric(), "nothing of the clone is left")

	second := w.clone("second")
	w.acknowledges(second.guest, 3)
	wrote, acked := w.observer.Acked(second.name), w.observer.Acked(web.name)
	w.run(w.curacao, "xenhost-clone", "promote", second.name)
	w.bootsAgain(web, 3) // the guest's first, the clone's, and this
	assert.Greater(t, w.observer.Acked(web.name), wrote, "it goes on after what the clone wrote")
	w.answers(web, w.curacao)
	require.NotContains(t, w.run(w.curacao, "lvs", "--noheadings", "-o", "lv_name", "guests"), second.name)
	old := w.read(w.curacao, "/dev/guests/web-rollback", acked)
	require.EqualValues(t, 1, old.Boots, "the rollback volume is the guest's disk from before")

	w.run(w.curacao, "xenhost-clone", "rollback", web.name)
	w.bootsAgain(web, 2)
	w.answers(web, w.curacao)
	require.Equal(t, with, w.fabric(), "nothing is left of all that")
	require.NotEqual(t, before, with, "fabric sees guests")
}

// newCloneWorld is curacao with our commands on it.
func newCloneWorld(t *testing.T) *world {
	lab := xenlab.StartFull(t, "curacao")
	w := &world{t: t, lab: lab, curacao: lab.MustHost(t, "curacao")}
	var err error
	w.observer, err = lab.Observe()
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, w.observer.Close()) })
	dir := t.TempDir()
	for _, name := range []string{"agent", "provision", "clone"} {
		build := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", filepath.Join(dir, "xenhost-"+name), "github.com/xenhost/xenhost/examples/"+name)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := build.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	require.NoError(t, w.curacao.Put(t.Context(), dir, "/usr/local/bin"))
	settings, err := json.Marshal(cli.Settings{
		Name: "curacao", Guard: true, Grace: "120s",
		Masquerades: []network.Masquerade{{Source: netip.MustParsePrefix("192.168.0.0/24"), Out: "xenext"}},
	})
	require.NoError(t, err)
	require.NoError(t, w.curacao.Write(t.Context(), "/etc/xenhost/host.json", settings, 0o644))
	w.run(w.curacao, "xenhost-agent", "boot")
	return w
}

// clone is a clone of web, which calls itself by its own name.
type cloned struct {
	guest
	id uuid.UUID
}

func (w *world) clone(name string) cloned {
	w.t.Helper()
	args := xenlab.Guest{Name: name, IP: web.ip + "/24", Gateway: "192.168.0.1", Ack: w.observer.Addr(), Rate: 4}
	acked := w.observer.Acked(web.name)
	out := w.run(w.curacao, "xenhost-clone", "make", web.name, "--name", name, "--out", "xenext", "--gateway", "192.168.0.1/24",
		"--cmdline", args.Args(), "--json")
	var c struct{ UUID uuid.UUID }
	require.NoError(w.t, json.Unmarshal([]byte(out), &c))
	g := cloned{guest{name: name, ip: web.ip, port: web.port}, c.UUID}
	w.acknowledges(g.guest, 2) // by the host's address: NAT
	assert.Greater(w.t, w.observer.Acked(name), acked, "it goes on after the records that the guest had written")
	return g
}

// isAlone asks for the guest's address in the clone's network and in the host's.
func (w *world) isAlone(c cloned) {
	w.t.Helper()
	ask := "exec 3<>/dev/tcp/" + c.ip + "/80 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && timeout 20 cat <&3"
	require.Contains(w.t, w.run(w.curacao, "nsenter", "--net=/run/netns/"+island.RouterName(c.id), "bash", "-c", ask), "hello from "+c.name)
	require.Contains(w.t, w.run(w.curacao, "bash", "-c", ask), "hello from "+web.name)
	members := w.run(w.curacao, "ip", "-o", "link", "show", "master", island.BridgeName(c.id, 0))
	assert.Equal(w.t, 2, strings.Count(members, "\n"), "the clone and its router, nobody else:\n%s", members)
	assert.Contains(w.t, members, island.VifName(c.id, 0))
}

// bootsAgain waits for a record of the nth boot that the guest's disk counts.
func (w *world) bootsAgain(g guest, boots uint64) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Minute)
	defer cancel()
	for n := len(w.observer.Acks(g.name)); ; {
		acks := w.observer.Acks(g.name)
		for _, a := range acks[n:] {
			if a.Boot == boots {
				return
			}
		}
		select {
		case <-ctx.Done():
			w.t.Fatalf("%s did not come to boot %d", g.name, boots)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// fabric is all that clones could leave behind on curacao: volumes, domains,
// definitions, links, namespaces and rules. Numbers that change are left out.
func (w *world) fabric() string {
	w.t.Helper()
	var all strings.Builder
	for _, argv := range [][]string{
		{"lvs", "--noheadings", "-o", "lv_name,lv_size,lv_tags,origin", "guests"},
		{"bash", "-c", "xl list | awk '{print $1}' | sort"},
		{"bash", "-c", "cd /var/lib/xenhost/guests 2>/dev/null && ls *.json"},
		{"bash", "-c", "ip -o link | grep -o '^[0-9]*: [^:@]*' | sed 's/^[0-9]*: //' | sort"},
		{"ip", "netns", "list"},
		{"nft", "list", "tables"},
		{"ip", "-4", "route"},
	} {
		out, err := w.curacao.Run(w.t.Context(), argv...)
		if err != nil && len(out) > 0 {
			require.NoError(w.t, err)
		}
		fmt.Fprintf(&all, "%s\n%s", strings.Join(argv, " "), out)
	}
	return all.String()
}
