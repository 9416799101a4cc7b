package xl

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
)

// saving answers xl save -p: the domain is paused once all is written.
func saving(h *host) func(context.Context, dom0.Cmd, string) error {
	return func(_ context.Context, cmd dom0.Cmd, argv string) error {
		switch argv {
		case "xl save -p 7 /proc/self/fd/1":
			assert.True(h.t, cmd.NoKill)
			h.domains[0].letters = "--p---"
			_, err := cmd.Stdout.Write([]byte("image"))
			if err != nil {
				return &dom0.Error{Args: cmd.Args, ExitCode: 0, Err: err}
			}
		case "xl unpause 7":
			h.domains[0].letters = "-b----"
		case "xl destroy 7":
			h.remove(7)
		}
		return nil
	}
}

func TestSave(t *testing.T) {
	for then, want := range map[xen.State]string{
		"":          "xl save -p 7 /proc/self/fd/1; xl destroy 7",
		xen.Running: "xl save -p 7 /proc/self/fd/1; xl unpause 7",
		xen.Paused:  "xl save -p 7 /proc/self/fd/1",
	} {
		h, id := one(t)
		h.do = saving(h)
		var w bytes.Buffer
		require.NoError(t, h.driver("").Save(t.Context(), id, &w, &xen.SaveOptions{Then: then}))
		assert.Equal(t, want, strings.Join(h.said, "; "))
		assert.Equal(t, "image", w.String())
	}
}

type broken struct{}

var errBroken = errors.New("broken")

func (broken) Write([]byte) (int, error) { return 0, errBroken }
func (broken) Read([]byte) (int, error)  { return 0, errBroken }

// xl may have written its last byte into the pipe before we know that w does
// not take it: the domain is there still.
func TestWriterThatFailsAtTheEnd(t *testing.T) {
	h, id := one(t)
	h.do = saving(h)
	err := h.driver("").Save(t.Context(), id, broken{}, nil)
	require.ErrorIs(t, err, errBroken)
	require.NotErrorIs(t, err, xen.ErrDirty)
	assert.Equal(t, []string{"xl save -p 7 /proc/self/fd/1", "xl unpause 7"}, h.said)
}

// A save that ends well without a byte is none.
func TestSaveThatWritesNothing(t *testing.T) {
	h, id := one(t)
	h.do = func(_ context.Context, _ dom0.Cmd, argv string) error {
		h.domains[0].letters = map[bool]string{true: "-b----", false: "--p---"}[argv == "xl unpause 7"]
		return nil
	}
	require.ErrorContains(t, h.driver("").Save(t.Context(), id, io.Discard, nil), "written nothing")
	assert.Equal(t, []string{"xl save -p 7 /proc/self/fd/1", "xl unpause 7"}, h.said)
}

func TestSaveThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		said    string
		letters string
		dirty   bool
		means   error
	}{
		"guest does not answer": {"save-paused", "-b----", false, xen.ErrNoAnswer},
		"disk full":             {"save-enospc", "-b----", false, nil},
		"stays suspended":       {"save-enospc", "---ss-", true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			h, id := one(t)
			h.do = func(_ context.Context, cmd dom0.Cmd, _ string) error {
				h.domains[0].letters = c.letters
				if c.dirty {
					h.domains[0].reason = "2"
				}
				return fail(cmd, read(t, "said/"+c.said+".err"))
			}
			err := h.driver("").Save(t.Context(), id, io.Discard, nil)
			require.Error(t, err)
			assert.Equal(t, c.dirty, errors.Is(err, xen.ErrDirty))
			if c.means != nil {
				require.ErrorIs(t, err, c.means)
			}
			assert.Len(t, h.said, 1)
		})
	}
}

func TestPausedGuestIsNotSaved(t *testing.T) {
	h, id := one(t)
	h.domains[0].letters = "--p---"
	require.ErrorIs(t, h.driver("").Save(t.Context(), id, io.Discard, nil), xen.ErrBusy)
	require.ErrorIs(t, h.driver("").Save(t.Context(), id, io.Discard, &xen.SaveOptions{Then: "dying"}), xen.ErrInvalid)
	assert.Empty(t, h.said)
}

func TestRestore(t *testing.T) {
	s, dir := spec(), t.TempDir()
	h := &host{t: t}
	h.do = func(_ context.Context, cmd dom0.Cmd, argv string) error {
		assert.True(t, cmd.NoKill)
		assert.Regexp(t, `^xl restore -p `+dir+`/xl-`+s.UUID.String()+`-\d+\.cfg /proc/self/fd/0$`, argv)
		text, err := os.ReadFile(cmd.Args[3])
		require.NoError(t, err)
		assert.Contains(t, string(text), s.UUID.String())
		image, err := io.ReadAll(cmd.Stdin)
		require.NoError(t, err)
		assert.Equal(t, "image", string(image))
		h.domains = append(h.domains, line{"web1", 7, "--p---", "-", s.UUID})
		_, _ = cmd.Stderr.Write([]byte(read(t, "said/restore-pv.err")))
		return nil
	}
	d, err := h.driver(dir).Restore(t.Context(), s, strings.NewReader("image"), &xen.RestoreOptions{Paused: true})
	require.NoError(t, err)
	assert.Equal(t, 7, d.ID)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
	_, err = h.driver(dir).Restore(t.Context(), s, strings.NewReader("image"), nil)
	require.ErrorIs(t, err, fs.ErrExist)
	assert.Len(t, h.said, 1)
}

func TestRestoreThatFailsLeavesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		err    func(dom0.Cmd) error
		left   bool // a domain that xl spoke of
		means  error
		swept  bool
		letter string
	}{
		"in the stream": {func(cmd dom0.Cmd) error {
			return fail(cmd, "libxl: error: libxl_create.c:1640:domcreate_rebuild_done: Domain 7:cannot (re-)build domain: -3\n")
		}, true, nil, true, "--p---"},
		"of another process": {func(cmd dom0.Cmd) error { return fail(cmd, read(t, "said/restore-name-exists.err")) }, true, fs.ErrExist, false, "-b----"},
		"in the reader": {func(cmd dom0.Cmd) error {
			_ = fail(cmd, "xc: error: Failed to read Record Header from stream (0 = Success): Internal error\n")
			return &dom0.Error{Args: cmd.Args, ExitCode: 1, Err: errBroken}
		}, false, errBroken, false, ""},
		"and says nothing of it": {func(dom0.Cmd) error { return nil }, true, nil, true, "--p---"},
	} {
		t.Run(name, func(t *testing.T) {
			s := spec()
			h := &host{t: t}
			h.do = func(_ context.Context, cmd dom0.Cmd, argv string) error {
				if argv == "xl destroy 7" {
					h.remove(7)
					return nil
				}
				if c.left {
					h.domains = append(h.domains, line{"web1", 7, c.letter, "0", s.UUID})
				}
				return c.err(cmd)
			}
			_, err := h.driver(t.TempDir()).Restore(t.Context(), s, broken{}, nil)
			if c.means != nil {
				require.ErrorIs(t, err, c.means)
			}
			if c.swept {
				require.Error(t, err)
				assert.Equal(t, "xl destroy 7", h.said[1])
			} else {
				assert.Len(t, h.said, 1)
			}
		})
	}
}
