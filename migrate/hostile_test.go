package migrate_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/yamux"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/migrate/migratetest"
	"github.com/xenhost/xenhost/xen/host"
)

// raw is a peer that says what it likes.
type raw struct {
	t   *testing.T
	mux *yamux.Session
}

func newRaw(t *testing.T, w world) raw {
	conn, err := w.Connect("curacao", "islay")
	require.NoError(t, err)
	go func() { _, _ = io.WriteString(conn, "XENHOST1") }()
	_, err = io.ReadFull(conn, make([]byte, 8))
	require.NoError(t, err)
	config := yamux.DefaultConfig()
	config.LogOutput = io.Discard
	mux, err := yamux.Client(conn, config)
	require.NoError(t, err)
	t.Cleanup(func() { mux.Close() })
	return raw{t, mux}
}

// say sends a message and returns the stream and the answer.
func (r raw) say(message string, bulk ...byte) (*yamux.Stream, map[string]json.RawMessage) {
	s, err := r.mux.OpenStream()
	require.NoError(r.t, err)
	_, err = s.Write(append(append(binary.BigEndian.AppendUint32(nil, uint32(len(message))), message...), bulk...))
	require.NoError(r.t, err)
	var head [4]byte
	_, err = io.ReadFull(s, head[:])
	require.NoError(r.t, err)
	data := make([]byte, binary.BigEndian.Uint32(head[:]))
	_, err = io.ReadFull(s, data)
	require.NoError(r.t, err)
	var answer map[string]json.RawMessage
	require.NoError(r.t, json.Unmarshal(data, &answer))
	return s, answer
}

// TestHostilePeer: what a peer may not ask is refused, and the host is as it
// was.
func TestHostilePeer(t *testing.T) {
	w := newWorld(t, nil)
	before := w.Machine("islay").Volumes.String()
	r := newRaw(t, w)
	refused := func(message, why string, bulk ...byte) {
		t.Helper()
		s, answer := r.say(message, bulk...)
		s.Close()
		require.Contains(t, string(answer["error"]), why, message)
	}
	refused(`{"verb":"info"}`, "before hello")
	refused(`{"verb":"hello","args":{"version":2}}`, "version 2")
	refused(`{"verb":"hello","args":[]}`, "arguments of hello")
	_, answer := r.say(`{"verb":"hello","args":{"version":1,"name":"curacao"}}`)
	require.JSONEq(t, `{"version":1,"name":"islay"}`, string(answer["result"]))

	id := uuid.NewString()
	refused(`{"verb":"rm -rf"}`, "without a hold")
	refused(`not JSON`, "no request")
	refused(`{"verb":"guest","args":{"uuid":"../../etc/passwd"}}`, "arguments of guest")
	refused(`{"verb":"guest","args":{"uuid":"`+id+`"}}`, "not-exist")
	refused(`{"verb":"hold.accept","hold":1,"args":{}}`, "without a hold")
	refused(`{"verb":"provision","args":{"guest":{"disks":[{"dev":"xvda"}]},"images":["xvda","xvda"]}}`, "not in the order")
	refused(`{"verb":"provision","args":{"guest":{"name":"../x"}}}`, "invalid")

	s, err := r.mux.OpenStream() // 4 GiB of request
	require.NoError(t, err)
	_, err = s.Write([]byte{0xff, 0xff, 0xff, 0xff})
	require.NoError(t, err)
	said, err := io.ReadAll(s)
	require.NoError(t, err)
	require.Contains(t, string(said), "a message of 4294967295 bytes")
	s.Close()

	hold, answer := r.say(`{"verb":"hold","args":{"uuid":"` + id + `"}}`)
	require.Equal(t, "1", string(answer["result"]))
	refused(`{"verb":"hold","args":{"uuid":"`+id+`"}}`, "busy")
	key := blockcopy.NewTransfer(1 << 20)
	accept, err := json.Marshal(map[string]any{"verb": "hold.accept", "hold": 1, "args": map[string]any{"dev": "xvda", "transfer": key}})
	require.NoError(t, err)
	refused(string(accept), "not-owner") // no move was offered
	refused(`{"verb":"hold.compare","hold":1,"args":{"dev":"xvda"}}`, "not-owner")
	refused(`{"verb":"hold.learn","hold":1,"args":{"dev":"../../xvda"}}`, "nothing was asked")
	refused(`{"verb":"hold.learn","hold":1,"args":[]}`, "arguments of hold.learn")
	record := func(state string, epoch int, move string) string {
		return fmt.Sprintf(`{"verb":"hold.put","hold":1,"args":{"uuid":"%s","state":"%s","epoch":%d,"peer":"curacao","move":"%s"}}`, id, state, epoch, move)
	}
	refused(record("committed", 2, id), "transition")
	refused(record("receiving", 0, id), "transition")
	refused(`{"verb":"hold.put","hold":1,"args":{"uuid":"`+uuid.NewString()+`","state":"receiving","epoch":2,"peer":"curacao","move":"`+id+`"}}`, "invalid")
	refused(`{"verb":"hold.adopt","hold":1}`, "not-owner")
	refused(`{"verb":"hold.fence","hold":1,"args":{"epoch":7}}`, "not-owner")
	refused(`{"verb":"hold.start","hold":1}`, "not-exist")

	_, answer = r.say(record("receiving", 2, id))
	require.Empty(t, answer["error"])
	receive := func(guest host.Guest) string {
		m, err := json.Marshal(map[string]any{"verb": "hold.receive", "hold": 1, "args": map[string]any{"guest": guest, "epoch": 2}})
		require.NoError(t, err)
		return string(m)
	}
	g := w.Guest("evil", 1<<20)
	refused(receive(g), "definition of") // another UUID than is held
	g.UUID = uuid.MustParse(id)
	for _, bad := range []func(*host.Guest){
		func(g *host.Guest) { g.Disks[0].Volume.Name = "../../sda" },
		func(g *host.Guest) { g.Disks[0].Size = -1 },
		func(g *host.Guest) { g.Disks[0].Size = 1 << 60 },
		func(g *host.Guest) { g.Disks[0].Volume.Group = "no-such" },
		func(g *host.Guest) { g.Memory = 1 << 50 },
		func(g *host.Guest) { g.Name = "web1\nbuilder='x'" },
	} {
		g := g
		g.Disks = []host.Disk{g.Disks[0]}
		bad(&g)
		_, answer := r.say(receive(g))
		require.NotEmpty(t, answer["error"])
	}
	require.Equal(t, before, w.Machine("islay").Volumes.String(), "nothing was made")

	_, answer = r.say(receive(g))
	require.Empty(t, answer["error"], string(answer["error"]))
	refused(string(accept), "a piece of 4294967295 bytes", 0xff, 0xff, 0xff, 0xff)         // a piece of 4 GiB
	refused(string(accept), "stream", append([]byte{0, 0, 0, 40}, make([]byte, 44)...)...) // no frame
	refused(string(bytes.Replace(accept, []byte("xvda"), []byte("xvdb"), 1)), "is not being received")
	refused(string(bytes.Replace(accept, []byte("1048576"), []byte("1048577"), 1)), "1048576 bytes here")
	refused(`{"verb":"hold.compare","hold":1,"args":{"dev":"xvda"}}`, "not-owner")
	dev, err := w.Machine("islay").Volumes.Open(t.Context(), g.Disks[0].Volume)
	require.NoError(t, err)
	content := make([]byte, 1<<20)
	_, err = dev.ReadAt(content, 0)
	require.NoError(t, err)
	require.NoError(t, dev.Close())
	assert.Equal(t, make([]byte, 1<<20), content, "nothing was written")

	// The hold ends with its stream, and the guest is free.
	hold.Close()
	_, err = io.Copy(io.Discard, hold)
	require.NoError(t, err)
	refused(`{"verb":"hold.discard","hold":1}`, "without a hold")
	l, err := w.Host("islay").Hold(g.UUID)
	require.NoError(t, err)
	l.Release()
	assert.Equal(t, "curacao", w.lives("web1 was not touched"))
}

// FuzzServe: no bytes crash a host, or change it.
func FuzzServe(f *testing.F) {
	f.Add([]byte("XENHOST1"))
	f.Add([]byte("GET / HTTP/1.0\r\n\r\n"))
	f.Add(append([]byte("XENHOST1"), 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 4, 'n', 'u', 'l', 'l'))
	f.Add(append([]byte("XENHOST1"), bytes.Repeat([]byte{0xff}, 64)...))
	w, err := migratetest.NewWorld(f.TempDir(), nil)
	require.NoError(f, err)
	defer w.Close()
	before := w.Machine("islay").Volumes.String()
	f.Fuzz(func(t *testing.T, in []byte) {
		conn, err := w.Connect("curacao", "islay")
		require.NoError(t, err)
		go func() { _, _ = io.Copy(io.Discard, conn) }()
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		_, _ = conn.Write(in)
		conn.Close()
		w.Cut() // until Serve has returned
		w.Mend()
		guests, err := w.Host("islay").Guests(t.Context())
		require.NoError(t, err)
		require.Empty(t, guests)
		require.Equal(t, before, w.Machine("islay").Volumes.String())
	})
}
