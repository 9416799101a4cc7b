package xl

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
)

// The one line in this project that a shell reads, byte for byte.
func TestLine(t *testing.T) {
	assert.Equal(t, "exec 5<&0; cat <&5 >/run/xenhost/7f3a0000-0000-4000-8000-000000000001/out & exec cat </run/xenhost/7f3a0000-0000-4000-8000-000000000001/in",
		pipeLine("/run/xenhost/7f3a0000-0000-4000-8000-000000000001"))
	for _, dir := range []string{"/run/x y", "/run/$x", "/run/;", "/run/`x`", "relative", "/run/x\n", "/run/'x'", "/run/*"} {
		d := New(nil, &Options{RunDir: dir})
		_, err := d.openPipes(uuid.New())
		require.ErrorContains(t, err, "a shell would not take it", dir)
	}
}

// TestLineInAShell lets a real shell run the line: both ways carry bytes, and
// both end when the FIFOs are closed.
func TestLineInAShell(t *testing.T) {
	d := New(nil, &Options{RunDir: t.TempDir()})
	p, err := d.openPipes(uuid.New())
	require.NoError(t, err)
	defer p.remove()
	sh := exec.CommandContext(t.Context(), "sh", "-c", p.line())
	in, err := sh.StdinPipe()
	require.NoError(t, err)
	out, err := sh.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, sh.Start())

	sent := bytes.Repeat([]byte("memory "), 100_000)
	go in.Write(sent) //nolint:errcheck // read on the other side
	got := make([]byte, len(sent))
	_, err = io.ReadFull(p.out, got)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(sent, got))
	_, err = p.in.WriteString("word")
	require.NoError(t, err)
	word := make([]byte, 4)
	_, err = io.ReadFull(out, word)
	require.NoError(t, err)
	assert.Equal(t, "word", string(word))

	p.close()
	rest, err := io.ReadAll(out)
	require.NoError(t, err)
	assert.Empty(t, rest, "the target's words have ended")
	require.NoError(t, sh.Wait())
}

// migrating is a runner that does what xl migrate does with its line.
func migrating(t *testing.T, h *host, leave func()) func(context.Context, dom0.Cmd, string) error {
	return func(ctx context.Context, cmd dom0.Cmd, argv string) error {
		if !strings.Contains(argv, "xl migrate -s ") {
			return nil
		}
		assert.True(t, cmd.NoKill)
		assert.Equal(t, []string{"flock", "-o"}, cmd.Args[:2])
		assert.Equal(t, []string{"xl", "migrate", "-s", "", "7"}, cmd.Args[3:8])
		sh := exec.CommandContext(ctx, "sh", "-c", cmd.Args[8])
		in, err := sh.StdinPipe()
		require.NoError(t, err)
		out, err := sh.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, sh.Start())
		banner := make([]byte, len(heardBanner))
		_, err = io.ReadFull(out, banner)
		if err == nil {
			_, err = in.Write([]byte("domain"))
		}
		ready := make([]byte, len(heardReady))
		if err == nil {
			_, err = io.ReadFull(out, ready)
		}
		in.Close()
		go sh.Wait() //nolint:errcheck // xl does not wait for it either
		leave()
		if err != nil {
			return &dom0.Error{Args: cmd.Args, ExitCode: 1, Stderr: "migration sender: Migration failed, resuming at sender.\n"}
		}
		return nil
	}
}

func TestSendTo(t *testing.T) {
	h, id := one(t)
	d := h.driver("")
	d.opts.RunDir = t.TempDir()
	h.do = migrating(t, h, func() { h.remove(7) })
	ours, xls := net.Pipe()
	sent := make(chan error, 1)
	go func() { sent <- d.SendTo(t.Context(), id, xls, nil) }()
	_, err := io.WriteString(ours, heardBanner)
	require.NoError(t, err)
	got := make([]byte, 6)
	_, err = io.ReadFull(ours, got)
	require.NoError(t, err)
	assert.Equal(t, "domain", string(got))
	_, err = io.WriteString(ours, heardReady)
	require.NoError(t, err)
	require.NoError(t, <-sent)
	ours.Close()
	left, err := filepath.Glob(d.opts.RunDir + "/*/*")
	require.NoError(t, err)
	assert.Empty(t, left, "the FIFOs are gone")
}

// TestSendToIsCut: the other side goes away, or ctx ends, before "ready".
func TestSendToIsCut(t *testing.T) {
	for _, how := range []string{"conn", "ctx"} {
		h, id := one(t)
		d := h.driver("")
		d.opts.RunDir = t.TempDir()
		h.do = migrating(t, h, func() {})
		ctx, cancel := context.WithCancel(t.Context())
		ours, xls := net.Pipe()
		sent := make(chan error, 1)
		go func() { sent <- d.SendTo(ctx, id, xls, nil) }()
		_, _ = io.WriteString(ours, heardBanner)
		_, _ = io.ReadFull(ours, make([]byte, 6))
		if how == "conn" {
			ours.Close()
		} else {
			cancel()
		}
		select {
		case err := <-sent:
			require.Error(t, err)
			require.NotErrorIs(t, err, xen.ErrUndefined)
			require.NotErrorIs(t, err, xen.ErrDirty)
		case <-time.After(time.Minute):
			t.Fatal("it hangs")
		}
		cancel()
		ours.Close()
	}
}

func TestSentDomainThatStays(t *testing.T) {
	h, id := one(t)
	d := h.driver("")
	gone := errors.New("said")
	dom := xen.Domain{ID: 7, UUID: id, Name: "web1"}
	h.domains[0].letters, h.domains[0].reason = "---ss-", "2"
	require.ErrorIs(t, d.sent(t.Context(), dom, answer{err: gone}), xen.ErrDirty)
	h.domains[0].name = "web1--migratedaway"
	require.ErrorIs(t, d.sent(t.Context(), dom, answer{err: gone}), xen.ErrUndefined)
	h.remove(7)
	require.ErrorIs(t, d.sent(t.Context(), dom, answer{err: gone}), xen.ErrUndefined)
	require.NoError(t, d.sent(t.Context(), dom, answer{}))
}

// saveHead is the head of a stream, as recorded.
func saveHead(flags uint32, config string) []byte {
	head := []byte(streamMagic)
	for _, w := range []uint32{byteOrder, flags, 0, uint32(4 + len(config)), uint32(len(config))} {
		head = binary.LittleEndian.AppendUint32(head, w)
	}
	return append(head, config...)
}

func TestConfigIsSwapped(t *testing.T) {
	stream := append(saveHead(3, `{"c_info":{"name":"evil"},"disks":[{"script":"/bin/evil"}]}`+"\x00"), "LibxlFmt and memory"...)
	got, err := io.ReadAll(&swapped{from: bytes.NewReader(stream), config: "name = \"web1\"\n"})
	require.NoError(t, err)
	assert.Equal(t, append(saveHead(2, "name = \"web1\"\n"), "LibxlFmt and memory"...), got)

	for what, head := range map[string][]byte{
		"another magic":  append([]byte("Xen saved domain, xl format\n \x00 \n"), saveHead(3, "x")[32:]...),
		"another flag":   saveHead(7, "x"),
		"an old stream":  saveHead(1, "x"),
		"no end of it":   saveHead(3, strings.Repeat("x", maxConfig+1)),
		"another endian": append([]byte(streamMagic), 1, 2, 3, 4, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1, 'x'),
	} {
		_, err := swapConfig(bytes.NewReader(head), "c")
		require.ErrorIs(t, err, xen.ErrInvalid, what)
	}
}

func FuzzSwapConfig(f *testing.F) {
	f.Add(saveHead(3, "config"))
	f.Add(saveHead(2, ""))
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := swapConfig(bytes.NewReader(data), "c")
		if err == nil && !bytes.Equal(out, saveHead(2, "c")) {
			t.Fatalf("%q", out)
		}
	})
}
