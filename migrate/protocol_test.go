package migrate_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/yamux"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/migrate/migratetest"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// TestRemoteIsAHost uses every verb of a host through a connection.
func TestRemoteIsAHost(t *testing.T) {
	w, ctx := newWorld(t, nil), t.Context()
	h, err := w.Dial(ctx, "curacao", "islay")
	require.NoError(t, err)
	assert.Equal(t, "islay", h.Name())
	info, err := h.Info(ctx)
	require.NoError(t, err)
	assert.Equal(t, "islay", info.Hostname)

	g := w.Guest("web2", 2<<20)
	g.Disks = append(g.Disks, host.Disk{Dev: "xvdb", Volume: lvm.ID{Group: "guests", Name: "web2-data"}, Size: 3 << 20})
	image, data := bytes.Repeat([]byte("image"), 1000), bytes.Repeat([]byte("data!"), 400_000)
	sent := map[string]int64{}
	g, err = h.Provision(ctx, g, &host.ProvisionOptions{
		Images:   map[string]io.Reader{"xvda": bytes.NewReader(image), "xvdb": bytes.NewReader(data)},
		Progress: func(dev string, done int64) { sent[dev] = done },
	})
	require.NoError(t, err)
	assert.Equal(t, map[string]int64{"xvda": 5000, "xvdb": 2_000_000}, sent)
	v, err := w.Machine("islay").Volumes.Open(ctx, g.Disks[1].Volume)
	require.NoError(t, err)
	got := make([]byte, len(data))
	_, err = v.ReadAt(got, 0)
	require.NoError(t, err)
	require.NoError(t, v.Close())
	assert.True(t, bytes.Equal(data, got))

	require.NoError(t, w.Await(ctx, g.UUID, 3))
	how, err := h.Stop(ctx, g.UUID)
	require.NoError(t, err)
	assert.Equal(t, xen.Clean, how)
	s, err := h.Guest(ctx, g.UUID)
	require.NoError(t, err)
	assert.Nil(t, s.Domain)
	assert.True(t, s.Guest.Off)
	require.NoError(t, h.Start(ctx, g.UUID))
	all, err := h.Guests(ctx)
	require.NoError(t, err)
	require.Len(t, all, 1)
	assert.Equal(t, owner.Running, all[0].Owner.State)
	found, err := h.Find(ctx, "web2")
	require.NoError(t, err)
	assert.Equal(t, g.UUID, found.UUID)

	_, err = h.Provision(ctx, g, nil)
	require.ErrorIs(t, err, fs.ErrExist)
	require.ErrorContains(t, err, "islay: host: provision web2: ")
	big := w.Guest("web3", 1<<40)
	_, err = h.Provision(ctx, big, nil)
	require.ErrorIs(t, err, lvm.ErrNoSpace)
	_, err = h.Guest(ctx, uuid.New())
	require.ErrorIs(t, err, fs.ErrNotExist)

	require.NoError(t, h.Terminate(ctx, g.UUID))
	require.ErrorIs(t, h.Terminate(ctx, g.UUID), fs.ErrNotExist)
}

// TestProvisionBreaks: an image that ends in an error, or a cable that is cut
// in the middle of one, leaves nothing behind.
func TestProvisionBreaks(t *testing.T) {
	w, ctx := newWorld(t, nil), t.Context()
	h, err := w.Dial(ctx, "curacao", "islay")
	require.NoError(t, err)
	broken := errors.New("tape torn")
	for name, image := range map[string]io.Reader{
		"error": io.MultiReader(bytes.NewReader(make([]byte, 100_000)), failing{broken}),
		"cable": io.MultiReader(bytes.NewReader(make([]byte, 100_000)), cutting{w.World}),
	} {
		g := w.Guest("web2", 4<<20)
		_, err := h.Provision(ctx, g, &host.ProvisionOptions{Images: map[string]io.Reader{"xvda": image}})
		require.Error(t, err, name)
		if name == "error" {
			require.ErrorIs(t, err, broken)
		}
		w.Cut()
		w.Mend()
		_, err = w.Host("islay").Guest(ctx, g.UUID)
		require.ErrorIs(t, err, fs.ErrNotExist, name)
		volumes, err := w.Machine("islay").Volumes.Volumes(ctx, "guests")
		require.NoError(t, err)
		require.Empty(t, volumes, name)
		h, err = w.Dial(ctx, "curacao", "islay")
		require.NoError(t, err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

type cutting struct{ w *migratetest.World }

func (c cutting) Read(p []byte) (int, error) { c.w.Cut(); return len(p), nil }

func TestHello(t *testing.T) {
	w, ctx := newWorld(t, nil), t.Context()
	dial := func(name string) error {
		conn, err := w.Connect("curacao", "islay")
		require.NoError(t, err)
		r, err := migrate.Dial(ctx, conn, &migrate.DialOptions{Name: name})
		if err == nil {
			r.Close()
		}
		return err
	}
	require.NoError(t, dial("curacao"))
	require.NoError(t, dial(""), "a panel has no name")
	require.ErrorIs(t, dial("islay"), host.ErrInvalid)
	require.ErrorContains(t, dial("islay"), "both hosts are called islay")
	require.ErrorIs(t, dial("../islay"), migrate.ErrProtocol)
}

// TestBanner: whatever else is at the other end is told from a peer, soon.
func TestBanner(t *testing.T) {
	for _, says := range []string{"Welcome to islay!\n", "bash:", "SSH-2.0-OpenSSH_9.2\r\n"} {
		a, b := net.Pipe()
		go func() {
			go io.Copy(io.Discard, b)
			io.WriteString(b, says)
			b.Close()
		}()
		_, err := migrate.Dial(t.Context(), a, nil)
		require.ErrorIs(t, err, migrate.ErrProtocol)
		require.ErrorContains(t, err, fmt.Sprintf("%.4q", says)[:4])
	}
	a, b := net.Pipe()
	b.Close()
	_, err := migrate.Dial(t.Context(), a, nil)
	require.ErrorIs(t, err, migrate.ErrUnreachable)

	a, b = net.Pipe() // says nothing
	defer b.Close()
	_, err = migrate.Dial(t.Context(), a, &migrate.DialOptions{Within: 10 * time.Millisecond})
	require.ErrorIs(t, err, migrate.ErrUnreachable)
	ctx, cancel := context.WithCancel(t.Context())
	a, b = net.Pipe()
	defer b.Close()
	time.AfterFunc(10*time.Millisecond, cancel)
	_, err = migrate.Dial(ctx, a, nil)
	require.ErrorIs(t, err, context.Canceled)
}

// TestDeadLine: a connection that swallows everything ends its calls.
func TestDeadLine(t *testing.T) {
	w := newWorld(t, nil)
	inner, err := w.Connect("curacao", "islay")
	require.NoError(t, err)
	conn := &swallow{Conn: inner, dead: make(chan struct{})}
	keep := migrate.Keepalive{Every: 20 * time.Millisecond, Within: 50 * time.Millisecond}
	h, err := migrate.Dial(t.Context(), conn, &migrate.DialOptions{Name: "curacao", Keepalive: keep})
	require.NoError(t, err)
	close(conn.dead)
	_, err = h.Info(t.Context())
	require.ErrorIs(t, err, migrate.ErrUnreachable)
	<-h.Done()
}

// swallow is a cable whose plug was pulled: writes vanish.
type swallow struct {
	net.Conn
	dead chan struct{}
}

func (s *swallow) Write(p []byte) (int, error) {
	select {
	case <-s.dead:
		return len(p), nil
	default:
		return s.Conn.Write(p)
	}
}

// raw is a peer that says what it likes.
type raw struct {
	t   *testing.T
	mux *yamux.Session
}

func newRaw(t *testing.T, w world) raw {
	conn, err := w.Connect("curacao", "islay")
	require.NoError(t, err)
	go io.WriteString(conn, "XENHOST1")
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
		go io.Copy(io.Discard, conn)
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

// TestErrorsTravel: what errors.Is finds here it finds there.
func TestErrorsTravel(t *testing.T) {
	w, ctx := newWorld(t, nil), t.Context()
	h, err := w.Dial(ctx, "curacao", "islay")
	require.NoError(t, err)
	for _, want := range []error{fs.ErrNotExist, fs.ErrExist, errors.ErrUnsupported, context.DeadlineExceeded, host.ErrBusy, host.ErrForeign,
		owner.ErrNotOwner, lvm.ErrNoSpace, lvm.ErrSnapshotInvalid, lvm.ErrBusy, xen.ErrNoMemory, xen.ErrDirty, blockcopy.ErrStream} {
		w.Machine("islay").Domains.Fail("info", fmt.Errorf("wrapped: %w", want))
		_, err := h.Info(ctx)
		require.ErrorIs(t, err, want)
		require.ErrorContains(t, err, "islay: xen: info: wrapped: ")
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	_, err = h.Info(ctx)
	require.ErrorIs(t, err, context.Canceled)
}
