package xenstoretest_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen/xenstore"
	"github.com/xenhost/xenhost/xen/xenstore/internal/wire"
	"github.com/xenhost/xenhost/xen/xenstore/xenstoretest"
)

// FuzzServer gives the server what a broken or hostile guest sends, several
// messages in a row: it goes on serving dom0.
func FuzzServer(f *testing.F) {
	seed := func(messages ...wire.Message) {
		var b []byte
		for _, m := range messages {
			b = m.Append(b)
		}
		f.Add(b)
	}
	seed(wire.Message{Op: wire.Start, Body: []byte{0}}, wire.Message{Op: wire.Write, Tx: 1, Body: []byte("a/b\x00c")}, wire.Message{Op: wire.End, Tx: 1, Body: []byte("T\x00")})
	seed(wire.Message{Op: wire.Watch, Body: []byte("@releaseDomain\x00t\x00")}, wire.Message{Op: wire.SetPerms, Body: []byte("/local\x00n5\x00")})
	seed(wire.Message{Op: wire.DirectoryPart, Body: []byte("/\x0099999999\x00")}, wire.Message{Op: wire.Remove, Body: []byte("/\x00")})
	f.Fuzz(func(t *testing.T, b []byte) {
		server := xenstoretest.New(nil)
		for _, domid := range []int{5, 0} {
			conn := server.Pipe(domid)
			go func() { _, _ = io.Copy(io.Discard, conn) }()
			_, _ = conn.Write(b)
			_ = conn.Close()
		}
		c := server.Dial(nil)
		defer c.Close()
		_, err := c.List(t.Context(), "/")
		require.NoError(t, err)
	})
}

// FuzzClient gives a client what a broken xenstored sends: each call ends.
func FuzzClient(f *testing.F) {
	f.Add(wire.Message{Op: wire.Read, ID: 1, Body: []byte("v")}.Append(nil))
	f.Add(wire.Message{Op: wire.Event, Body: []byte("/a\x00xenhost-1\x00")}.Append(wire.Message{Op: wire.Error, ID: 1, Body: []byte("EINVAL\x00")}.Append(nil)))
	f.Fuzz(func(t *testing.T, b []byte) {
		ours, theirs := net.Pipe()
		c := xenstore.NewClient(ours, &xenstore.Options{Limit: 5 * time.Second})
		defer c.Close()
		go func() {
			_, _ = wire.Next(theirs)
			_, _ = theirs.Write(b)
			_ = theirs.Close()
		}()
		v, err := c.Read(t.Context(), "/a")
		require.False(t, err != nil && v != nil)
	})
}
