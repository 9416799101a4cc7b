package xenstore_test

import (
	"bytes"
	"context"
	"net"
	"regexp"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen/xenstore"
	"github.com/xenhost/xenhost/xen/xenstore/internal/wire"
	"github.com/xenhost/xenhost/xen/xenstore/xenstoretest"
	"github.com/xenhost/xenhost/xen/xentest"
)

// tap looks at each request that leaves the client.
type tap struct {
	net.Conn
	sent func(wire.Message)
}

func (p *tap) Write(b []byte) (int, error) {
	m, err := wire.Next(bytes.NewReader(b))
	if err == nil {
		p.sent(m)
	}
	return p.Conn.Write(b)
}

// No string of a caller becomes a path unless it is one, or a second argument;
// as a value each arrives as it is.
func TestHostileStrings(t *testing.T) {
	path := regexp.MustCompile(`^(/|(/[A-Za-z0-9_@-]+)+|@introduceDomain|@releaseDomain)$`)
	leaves := 0
	c := xenstore.NewClient(&tap{xenstoretest.New(nil).Pipe(0), func(m wire.Message) {
		leaves++
		first, _, ok := bytes.Cut(m.Body, []byte{0})
		if ok && m.Op != wire.Control && m.Op != wire.Start && m.Op != wire.End {
			assert.Regexp(t, path, string(first))
		}
	}}, nil)
	defer c.Close()
	ctx := t.Context()
	hostile := xentest.HostileStrings()
	require.GreaterOrEqual(t, len(hostile), 300)
	for _, s := range hostile {
		for _, at := range []string{s, "/tool/" + s, "/" + s + "/x", "@" + s} {
			for verb, call := range map[string]func() error{
				"read":   func() error { _, err := c.Read(ctx, at); return err },
				"list":   func() error { _, err := c.List(ctx, at); return err },
				"write":  func() error { return c.Write(ctx, at, nil) },
				"mkdir":  func() error { return c.Mkdir(ctx, at) },
				"remove": func() error { return c.Remove(ctx, at) },
				"perms":  func() error { _, err := c.Perms(ctx, at); return err },
				"chmod":  func() error { return c.SetPerms(ctx, at, xenstore.Perm{Access: xenstore.None}) },
				"update": func() error {
					return c.Update(ctx, func(tx *xenstore.Tx) error { return tx.Write(ctx, at, nil) })
				},
				"watch": func() error {
					w, err := c.Watch(ctx, at)
					if err == nil {
						return w.Close()
					}
					return err
				},
			} {
				before := leaves
				err := call()
				if !path.MatchString(at) || len(at) > wire.MaxPath {
					require.ErrorIs(t, err, xenstore.ErrInvalid, "%s %q", verb, at)
					if verb != "update" { // which starts a transaction, and ends it
						require.Equal(t, before, leaves, "%s %q: nothing was sent", verb, at)
					}
				}
				if err != nil {
					require.NotContains(t, err.Error(), "\n")
					require.False(t, bytes.ContainsFunc([]byte(err.Error()), unicode.IsControl), "%q", err)
				}
			}
		}
		if len(s) > 4000 {
			continue
		}
		require.NoError(t, c.Write(ctx, "/tool/value", []byte(s)))
		v, err := c.Read(ctx, "/tool/value")
		require.NoError(t, err)
		require.Equal(t, s, string(v))
		_, err = c.Control(context.Background(), s)
		require.Error(t, err)
	}
}
