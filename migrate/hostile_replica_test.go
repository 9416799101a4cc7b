package migrate_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen/host"
)

// TestHostileReplica: a peer that keeps its replicas here can do nothing else
// with that.
func TestHostileReplica(t *testing.T) {
	w := newWorld(t, nil)
	id, run := uuid.New(), uuid.NewString()
	before := w.Machine("islay").Volumes.String()
	r := newRaw(t, w)
	refused := func(message, why string) {
		t.Helper()
		s, answer := r.say(message)
		s.Close()
		require.Contains(t, string(answer["error"]), why, message)
	}
	refused(`{"verb":"replica.kept"}`, "before hello")
	_, answer := r.say(`{"verb":"hello","args":{"version":1,"name":""}}`)
	require.Empty(t, answer["error"])
	refused(`{"verb":"replica.keep","args":{"uuid":"`+id.String()+`"}}`, "said no name")
	_, answer = r.say(`{"verb":"hello","args":{"version":1,"name":"curacao"}}`)
	require.Empty(t, answer["error"])

	for _, verb := range []string{"begin", "push", "commit", "sum"} {
		refused(`{"verb":"replica.`+verb+`","hold":1,"args":{}}`, "not held")
	}
	refused(`{"verb":"replica.promote","args":{"uuid":"`+id.String()+`","proof":{"host":"curacao","vouch":"powered off"}}}`, "not-exist")
	s, answer := r.say(`{"verb":"replica.keep","args":{"uuid":"` + id.String() + `"}}`)
	require.Equal(t, "1", string(answer["result"]))
	refused(`{"verb":"replica.keep","args":{"uuid":"`+id.String()+`"}}`, "busy")
	refused(`{"verb":"replica.commit","hold":1,"args":{"run":"`+run+`"}}`, "was not begun")
	refused(`{"verb":"replica.sum","hold":1,"args":{"dev":"../../etc"}}`, "not-exist")

	begin := func(epoch int, guest host.Guest) string {
		m, err := json.Marshal(map[string]any{"verb": "replica.begin", "hold": 1, "args": map[string]any{"run": run, "epoch": epoch, "guest": guest}})
		require.NoError(t, err)
		return string(m)
	}
	g := w.Guest("evil", 1<<20)
	refused(begin(1, g), "definition of") // another UUID than is held
	g.UUID = id
	refused(begin(0, g), "without a number or an epoch")
	for _, bad := range []func(*host.Guest){
		func(g *host.Guest) { g.Disks[0].Volume.Name = "../../sda" },
		func(g *host.Guest) { g.Disks[0].Dev = "../../../etc/x" },
		func(g *host.Guest) { g.Disks[0].Size = -1 },
		func(g *host.Guest) { g.Disks[0].Size = 1 << 60 },
		func(g *host.Guest) { g.Disks[0].Volume.Group = "no-such" },
		func(g *host.Guest) { g.Name = "web1" }, // of another guest there
	} {
		g := g
		g.Disks = []host.Disk{g.Disks[0]}
		bad(&g)
		if g.Name == "web1" {
			_, err := w.Host("islay").Provision(t.Context(), host.Guest{Name: "web1", Memory: 64 << 20, Kernel: "/boot/vmlinuz"}, &host.ProvisionOptions{Stopped: true})
			require.NoError(t, err)
		}
		_, answer := r.say(begin(1, g))
		require.NotEmpty(t, answer["error"], "%+v", g)
	}
	require.Equal(t, before, w.Machine("islay").Volumes.String(), "nothing was made")

	_, answer = r.say(begin(1, g))
	require.Empty(t, answer["error"], string(answer["error"]))
	refused(`{"verb":"replica.commit","hold":1,"args":{"run":"`+run+`","taken":"2026-01-02T03:04:05Z"}}`, "a generation of 0 disks")
	refused(`{"verb":"replica.commit","hold":1,"args":{"run":"`+run+`","taken":"2026-01-02T03:04:05Z","disks":{"xvda":"`+
		"00000000000000000000000000000000000000000000000000000000000000aa"+`"}}}`, "is not here as")
	s.Close() // gives it back
	require.Eventually(t, func() bool {
		again, answer := r.say(`{"verb":"replica.keep","args":{"uuid":"` + id.String() + `"}}`)
		again.Close()
		return answer["error"] == nil
	}, time.Minute, 10*time.Millisecond)
	v, err := w.Machine("islay").Volumes.Volume(t.Context(), g.Disks[0].Volume)
	require.NoError(t, err)
	require.True(t, v.Skip)
}
