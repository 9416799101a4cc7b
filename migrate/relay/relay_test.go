package relay_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate/relay"
)

// rig is a whole migration: two xl made of code, and the three parts.
type rig struct {
	srcXL, dstXL net.Conn // the relays' ends of xl's pipes
	xlSrc, xlDst net.Conn // xl's own ends
	sWire, tWire [2]net.Conn
	opts         *relay.Options
	gate         relay.Gate

	source, target, join chan error
	sent                 relay.Stats
}

func newRig(t *testing.T) *rig {
	r := &rig{opts: &relay.Options{Every: 10 * time.Millisecond, Within: time.Minute},
		source: make(chan error, 1), target: make(chan error, 1), join: make(chan error, 1)}
	r.srcXL, r.xlSrc = net.Pipe()
	r.dstXL, r.xlDst = net.Pipe()
	r.sWire[0], r.sWire[1] = net.Pipe()
	r.tWire[0], r.tWire[1] = net.Pipe()
	t.Cleanup(r.hangUp)
	return r
}

func (r *rig) hangUp() {
	for _, c := range []net.Conn{r.srcXL, r.xlSrc, r.dstXL, r.xlDst, r.sWire[0], r.sWire[1], r.tWire[0], r.tWire[1]} {
		c.Close()
	}
}

// start runs the parts. Each closes its ends when it has ended, as their
// owners do.
func (r *rig) start(ctx context.Context) {
	go func() {
		stats, err := relay.Source(ctx, r.srcXL, r.sWire[0], r.opts)
		r.sent = stats
		r.source <- err
		r.srcXL.Close()
		r.sWire[0].Close()
	}()
	go func() {
		_, err := relay.Target(ctx, r.dstXL, r.tWire[0], r.opts)
		r.target <- err
		r.dstXL.Close()
		r.tWire[0].Close()
	}()
	go func() {
		err := relay.Join(ctx, r.sWire[1], r.tWire[1], r.gate, r.opts)
		r.join <- err
		r.sWire[1].Close()
		r.tWire[1].Close()
	}()
}

// send is what xl migrate does.
func (r *rig) send(domain []byte) error {
	if err := read(r.xlSrc, relay.SayBanner); err != nil {
		return err
	}
	if _, err := r.xlSrc.Write(domain); err != nil {
		return err
	}
	if err := read(r.xlSrc, relay.SayReady); err != nil {
		return err
	}
	if _, err := io.WriteString(r.xlSrc, relay.SayGo); err != nil {
		return err
	}
	return read(r.xlSrc, relay.SayReport+"\x00")
}

// receive is what xl migrate-receive does.
func (r *rig) receive(n int, code byte) ([]byte, error) {
	if _, err := io.WriteString(r.xlDst, relay.SayBanner); err != nil {
		return nil, err
	}
	got := make([]byte, n)
	if _, err := io.ReadFull(r.xlDst, got); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(r.xlDst, relay.SayReady); err != nil {
		return nil, err
	}
	if err := read(r.xlDst, relay.SayGo); err != nil {
		return nil, err
	}
	_, err := io.WriteString(r.xlDst, relay.SayReport+string(code))
	return got, err
}

func read(r io.Reader, want string) error {
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil {
		return err
	}
	if string(got) != want {
		return errors.New("read " + string(got))
	}
	return nil
}

// domain is memory as it is: zero pages, text, and what does not compress.
func domain(n int) []byte {
	d := make([]byte, n)
	rnd := rand.NewChaCha8([32]byte{1})
	for at := 0; at+4096 <= n; at += 4096 {
		switch (at / 4096) % 5 {
		case 0:
			_, _ = rnd.Read(d[at : at+4096]) // never fails
		case 1:
			copy(d[at:], bytes.Repeat([]byte("a line of a log\n"), 256))
		}
	}
	return d
}

func TestMigration(t *testing.T) {
	r := newRig(t)
	var order []string
	note := func(what string) func(context.Context) error {
		return func(context.Context) error { order = append(order, what); return nil }
	}
	r.gate = relay.Gate{Ready: note("ready"), Go: note("go"), Runs: note("runs")}
	r.start(t.Context())
	d := domain(4<<20 + 777)
	sent := make(chan error, 1)
	go func() { sent <- r.send(d) }()
	got, err := r.receive(len(d), 0)
	require.NoError(t, err)
	require.NoError(t, <-sent)
	require.NoError(t, <-r.join)
	require.NoError(t, <-r.source)
	require.NoError(t, <-r.target)
	assert.True(t, bytes.Equal(d, got), "the domain arrives as it was")
	assert.Equal(t, []string{"ready", "go", "runs"}, order)
	assert.Equal(t, int64(len(d)), r.sent.Bytes)
	assert.Less(t, r.sent.Wire, r.sent.Bytes/3)
	assert.Greater(t, r.sent.Zeros, r.sent.Bytes/2)
	t.Logf("%d bytes, of them %d zeros; %d on the wire", r.sent.Bytes, r.sent.Zeros, r.sent.Wire)
}

var errGate = errors.New("not now")

// TestGate: what the gate refuses does not pass.
func TestGate(t *testing.T) {
	for name, c := range map[string]struct {
		gate         relay.Gate
		ready, yours bool // what the two xl hear
	}{
		"ready": {relay.Gate{Ready: func(context.Context) error { return errGate }}, false, false},
		"go":    {relay.Gate{Go: func(context.Context) error { return errGate }}, true, false},
		"runs":  {relay.Gate{Runs: func(context.Context) error { return errGate }}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.gate = c.gate
			r.start(t.Context())
			d := domain(1 << 20)
			sent := make(chan error, 1)
			go func() { sent <- r.send(d) }()
			_, err := r.receive(len(d), 0)
			if c.yours {
				require.NoError(t, err)
			} else {
				require.Error(t, err, "the target was not given the domain")
			}
			require.ErrorIs(t, <-r.join, errGate)
			require.Error(t, <-sent, "the source never hears that it runs")
			require.Error(t, <-r.source)
		})
	}
}

// TestReportIsNotForwarded: on a report other than 0 xl migrate would wait for
// the word on which it resumes the domain.
func TestReportIsNotForwarded(t *testing.T) {
	r := newRig(t)
	r.start(t.Context())
	d := domain(1 << 20)
	heard := make(chan []byte, 1)
	go func() {
		_ = read(r.xlSrc, relay.SayBanner)
		_, _ = r.xlSrc.Write(d)
		_ = read(r.xlSrc, relay.SayReady)
		_, _ = io.WriteString(r.xlSrc, relay.SayGo)
		rest, _ := io.ReadAll(r.xlSrc)
		heard <- rest
	}()
	_, err := r.receive(len(d), 9)
	require.NoError(t, err)
	require.ErrorIs(t, <-r.target, relay.ErrTarget)
	require.ErrorIs(t, <-r.join, relay.ErrTarget)
	require.Error(t, <-r.source)
	assert.Empty(t, <-heard)
}

// TestChecks: each end asks its own host before a word passes.
func TestChecks(t *testing.T) {
	r := newRig(t)
	r.opts.Check = func() error { return errGate }
	r.start(t.Context())
	d := domain(1 << 20)
	sent := make(chan error, 1)
	go func() { sent <- r.send(d) }()
	_, err := r.receive(len(d), 0)
	require.Error(t, err)
	require.ErrorIs(t, <-r.source, errGate)
	require.Error(t, <-r.join)
	require.Error(t, <-sent)
}

// TestCut closes one of the connections at each of many points: both xl see
// their pipes end, and nobody hangs.
func TestCut(t *testing.T) {
	d := domain(300 << 10)
	for _, which := range []string{"source wire", "target wire", "source xl", "target xl", "ctx"} {
		for _, after := range []int{0, 1, 53, 54, 1 << 10, 256 << 10} {
			r := newRig(t)
			ctx, cancel := context.WithCancel(t.Context())
			r.start(ctx)
			sent := make(chan error, 1)
			go func() { sent <- r.send(d) }()
			_, _ = io.WriteString(r.xlDst, relay.SayBanner)
			_, _ = io.ReadFull(r.xlDst, make([]byte, after))
			switch which {
			case "source wire":
				r.sWire[0].Close()
			case "target wire":
				r.tWire[1].Close()
			case "source xl":
				r.xlSrc.Close()
				go io.Copy(io.Discard, r.xlDst) //nolint:errcheck // xl goes on reading
			case "target xl":
				r.xlDst.Close()
			case "ctx":
				cancel()
			}
			require.Error(t, <-r.join, "%s after %d", which, after)
			require.Error(t, <-r.source, "%s after %d", which, after)
			require.Error(t, <-r.target, "%s after %d", which, after)
			require.Error(t, <-sent, "%s after %d", which, after)
			cancel()
		}
	}
}

// TestSilence: a peer that says nothing is given up, while one that is busy is
// not.
func TestSilence(t *testing.T) {
	r := newRig(t)
	r.opts.Within = 50 * time.Millisecond
	silent, mover := net.Pipe()
	defer silent.Close()
	defer mover.Close()
	go io.Copy(io.Discard, mover) //nolint:errcheck // takes what it gets and says nothing
	_, err := relay.Source(t.Context(), r.srcXL, silent, r.opts)
	require.ErrorIs(t, err, relay.ErrSilent)

	r = newRig(t)
	r.opts.Within = 50 * time.Millisecond
	slow := make(chan struct{})
	r.gate.Ready = func(ctx context.Context) error {
		<-slow
		return ctx.Err()
	}
	r.start(t.Context())
	time.AfterFunc(time.Second/2, func() { close(slow) })
	d := domain(1 << 20)
	sent := make(chan error, 1)
	go func() { sent <- r.send(d) }()
	_, err = r.receive(len(d), 0)
	require.NoError(t, err, "a gate may take its time")
	require.NoError(t, <-sent)
}
