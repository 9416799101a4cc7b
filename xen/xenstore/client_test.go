package xenstore_test

import (
	"context"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen/xenstore"
	"github.com/xenhost/xenhost/xen/xenstore/internal/wire"
	"github.com/xenhost/xenhost/xen/xenstore/xenstoretest"
)

const short = 20 * time.Millisecond

// A daemon that hangs costs a caller its deadline, and nothing else.
func TestHang(t *testing.T) {
	server := xenstoretest.New(nil)
	c := server.Dial(&xenstore.Options{Limit: short})
	defer c.Close()
	w, err := c.Watch(t.Context(), "/tool/a")
	require.NoError(t, err)
	_, err = w.Next(t.Context())
	require.NoError(t, err)
	server.Hang()
	_, err = c.Read(t.Context(), "/tool")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "xenstored has not answered for 20ms")
	_, err = c.Watch(t.Context(), "/tool/b")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	require.ErrorIs(t, c.Update(ctx, func(*xenstore.Tx) error { return nil }), context.DeadlineExceeded)
	_, err = w.Next(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, c.Err(), "the connection is as it was")

	server.Resume()
	require.Eventually(t, func() bool { return c.Write(t.Context(), "/tool/a", nil) == nil }, time.Second, time.Millisecond)
	_, err = w.Next(t.Context())
	require.NoError(t, err)
	assert.Eventually(t, func() bool { return server.Watches() == 1 && server.Transactions() == 0 }, time.Second, time.Millisecond,
		"what was begun for callers who had gone is taken back")
}

// A peer that does not even read: a write that can not be finished in time.
func TestWriteBlocks(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	c := xenstore.NewClient(ours, nil)
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	_, err := c.Read(ctx, "/tool")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, c.Err(), "nothing was written, so nothing is broken")

	// In the middle of a message the connection can not be saved.
	_, err = c.Read(halfRead(t, theirs), "/tool")
	require.ErrorIs(t, err, xenstore.ErrLost)
	require.ErrorIs(t, c.Err(), xenstore.ErrLost)
}

// halfRead returns a context that ends when half a message has been read.
func halfRead(t *testing.T, from io.Reader) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = io.ReadFull(from, make([]byte, 8))
		cancel()
	}()
	return ctx
}

func TestRestart(t *testing.T) {
	server := xenstoretest.New(nil)
	c := server.Dial(nil)
	w, err := c.Watch(t.Context(), xenstore.ReleaseDomain)
	require.NoError(t, err)
	_, err = w.Next(t.Context())
	require.NoError(t, err)
	server.Restart()
	_, err = w.Next(t.Context())
	require.ErrorIs(t, err, xenstore.ErrLost)
	_, err = c.Read(t.Context(), "/tool")
	require.ErrorIs(t, err, xenstore.ErrLost)
	require.ErrorIs(t, c.Update(t.Context(), func(*xenstore.Tx) error { return nil }), xenstore.ErrLost)
	again := server.Dial(nil)
	defer again.Close()
	require.NoError(t, again.Write(t.Context(), "/tool/a", nil))
}

// Many callers and a hundred watches that nobody reads, on one connection,
// while others write: nobody waits for anybody.
func TestSlowReaders(t *testing.T) {
	server := xenstoretest.New(nil)
	c, other := server.Dial(nil), server.Dial(nil)
	defer c.Close()
	defer other.Close()
	for range 100 {
		_, err := c.Watch(t.Context(), "/tool")
		require.NoError(t, err)
	}
	var all sync.WaitGroup
	for _, writer := range []*xenstore.Client{c, other} {
		for range 4 {
			all.Go(func() {
				for i := range 100 {
					assert.NoError(t, writer.Write(t.Context(), "/tool/a"+strings.Repeat("x", i), nil))
				}
			})
		}
	}
	all.Wait()
}

func TestConflicts(t *testing.T) {
	server := xenstoretest.New(nil)
	c := server.Dial(nil)
	defer c.Close()
	runs := 0
	work := func(tx *xenstore.Tx) error { runs++; return tx.Write(t.Context(), "/tool/a", nil) }
	server.Conflict(3)
	require.NoError(t, c.Update(t.Context(), work))
	assert.Equal(t, 4, runs)
	server.Conflict(1000)
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	require.ErrorIs(t, c.Update(ctx, work), context.DeadlineExceeded)
	runs = 0
	err := c.Update(t.Context(), work)
	require.ErrorIs(t, err, xenstore.ErrConflict)
	assert.Equal(t, 64, runs)
	assert.Zero(t, server.Transactions())
}

// What xenstored may not say: the connection ends, or the call fails, and
// nothing panics or hangs.
func TestHostileServer(t *testing.T) {
	ok := func(op wire.Op, body string) func(wire.Message) wire.Message {
		return func(m wire.Message) wire.Message { return wire.Message{Op: op, ID: m.ID, Body: []byte(body)} }
	}
	read := func(c *xenstore.Client) error { _, err := c.Read(t.Context(), "/a"); return err }
	for name, tc := range map[string]struct {
		answer func(wire.Message) wire.Message
		call   func(c *xenstore.Client) error
		says   string
	}{
		"another type":        {ok(wire.Directory, "a\x00"), read, "type 1"},
		"an unknown error":    {ok(wire.Error, "EWHAT\x00"), read, `"EWHAT"`},
		"an error of bytes":   {ok(wire.Error, "\xff\x1b"), read, `"\xff\x1b"`},
		"an empty error":      {ok(wire.Error, ""), read, `""`},
		"an event of one":     {ok(wire.Event, "a\x00"), read, "lost"},
		"an event of bytes":   {ok(wire.Event, "\xff"), read, "lost"},
		"names without a NUL": {ok(wire.Directory, "a\x00b"), func(c *xenstore.Client) error { _, err := c.List(t.Context(), "/a"); return err }, "names"},
		"no permissions":      {ok(wire.GetPerms, ""), func(c *xenstore.Client) error { _, err := c.Perms(t.Context(), "/a"); return err }, "permissions"},
		"odd permissions":     {ok(wire.GetPerms, "x0\x00"), func(c *xenstore.Client) error { _, err := c.Perms(t.Context(), "/a"); return err }, `"x0"`},
		"no transaction":      {ok(wire.Start, "0\x00"), func(c *xenstore.Client) error { return c.Update(t.Context(), nil) }, `transaction "0\x00"`},
		"a relative path":     {ok(wire.DomainPath, "x\x00"), func(c *xenstore.Client) error { _, err := c.DomainPath(t.Context(), 5); return err }, "path"},
		"neither T nor F":     {ok(wire.Introduced, ""), func(c *xenstore.Client) error { _, err := c.Introduced(t.Context(), 5); return err }, "answers with"},
	} {
		t.Run(name, func(t *testing.T) {
			c := scripted(t, tc.answer)
			require.ErrorContains(t, tc.call(c), tc.says)
		})
	}
	t.Run("a list without an end", func(t *testing.T) {
		c := scripted(t, func(m wire.Message) wire.Message {
			if m.Op == wire.Directory {
				return ok(wire.Error, "E2BIG\x00")(m)
			}
			return ok(wire.DirectoryPart, "1\x00"+strings.Repeat("name\x00", 800))(m)
		})
		_, err := c.List(t.Context(), "/a")
		require.ErrorContains(t, err, "without an end")
	})
	t.Run("a list that always changes", func(t *testing.T) {
		n := 0
		c := scripted(t, func(m wire.Message) wire.Message {
			if m.Op == wire.Directory {
				return ok(wire.Error, "E2BIG\x00")(m)
			}
			n++
			return ok(wire.DirectoryPart, strings.Repeat("1", n)+"\x00a\x00")(m)
		})
		_, err := c.List(t.Context(), "/a")
		require.ErrorIs(t, err, xenstore.ErrConflict)
	})
}

// scripted returns a client of a server that says what it is told.
func scripted(t *testing.T, answer func(wire.Message) wire.Message) *xenstore.Client {
	ours, theirs := net.Pipe()
	go func() {
		for {
			m, err := wire.Next(theirs)
			if err != nil {
				return
			}
			if _, err := theirs.Write(answer(m).Append(nil)); err != nil {
				return
			}
		}
	}()
	c := xenstore.NewClient(ours, &xenstore.Options{Limit: 5 * time.Second})
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	return c
}

func TestDial(t *testing.T) {
	dir := t.TempDir()
	_, err := xenstore.Dial(t.Context(), &xenstore.Options{Path: filepath.Join(dir, "nope")})
	require.ErrorIs(t, err, fs.ErrNotExist)
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = xenstore.Dial(t.Context(), &xenstore.Options{Path: file})
	require.ErrorIs(t, err, xenstore.ErrInvalid)
	require.NoError(t, xenstoretest.New(nil).Listen(t.Context(), filepath.Join(dir, "socket")))
	t.Setenv("XENSTORED_RUNDIR", dir)
	c, err := xenstore.Dial(t.Context(), nil)
	require.NoError(t, err)
	defer c.Close()
	_, err = c.List(t.Context(), "/")
	require.NoError(t, err)
}
