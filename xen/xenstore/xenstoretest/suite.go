package xenstoretest

import (
	"context"
	"io/fs"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen/xenstore"
)

// Harness lets TestStore run on one xenstored.
type Harness struct {
	// Dial returns a new connection with the rights of dom0.
	Dial func(ctx context.Context) (*xenstore.Client, error)
	// MaxBody is how many bytes path, NUL and value have together at most;
	// 0 is 4096. Through the kernel's device it is 4080.
	MaxBody int
}

// TestStore runs what the client promises, below /tool/xenhost-suite.
func TestStore(t *testing.T, h Harness) {
	if h.MaxBody == 0 {
		h.MaxBody = 4096
	}
	for _, c := range []struct {
		name string
		run  func(s *suite)
	}{
		{"values are bytes", (*suite).values},
		{"what is missing", (*suite).missing},
		{"nodes above are made", (*suite).parents},
		{"mkdir keeps a value", (*suite).mkdir},
		{"remove takes all below", (*suite).remove},
		{"list", (*suite).list},
		{"list of many", (*suite).listOfMany},
		{"permissions", (*suite).perms},
		{"sizes", (*suite).sizes},
		{"hostile paths", (*suite).hostile},
		{"domains", (*suite).domains},
		{"control", (*suite).control},
		{"cancelled", (*suite).cancelled},
		{"concurrent", (*suite).concurrent},
		{"closed", (*suite).closed},
		{"transaction is seen at once", (*suite).atOnce},
		{"transaction that fails", (*suite).undone},
		{"transaction meets a conflict", (*suite).conflict},
		{"transaction misses a node that appears", (*suite).appears},
		{"transaction and others elsewhere", (*suite).elsewhere},
		{"transactions count", (*suite).counter},
		{"watch", (*suite).watch},
		{"watch of what is removed", (*suite).watchRemoved},
		{"watch and transaction", (*suite).watchTx},
		{"watches of one path", (*suite).watchTwice},
		{"watch of several paths", (*suite).watchSeveral},
		{"watch that nobody reads", (*suite).watchOverflow},
		{"watch closed", (*suite).watchClosed},
		{"special watches", (*suite).watchSpecial},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &suite{T: t, Harness: h, Client: h.dial(t)}
			require.NoError(t, s.Mkdir(t.Context(), marker))
			s.settled, _ = s.Watch(t.Context(), marker)
			require.NotNil(t, s.settled)
			s.next(s.settled)
			require.NoError(t, s.Remove(t.Context(), s.at("")))
			require.NoError(t, s.Mkdir(t.Context(), s.at("")))
			t.Cleanup(func() {
				c, err := h.Dial(context.Background())
				require.NoError(t, err)
				defer c.Close()
				assert.NoError(t, c.Remove(context.Background(), s.at("")))
				assert.NoError(t, c.Remove(context.Background(), marker))
			})
			c.run(s)
		})
	}
}

// suite is one case, with a connection.
type suite struct {
	*testing.T
	Harness
	*xenstore.Client
	settled *xenstore.Watch // of marker
}

// marker is beside what the cases change.
const marker = "/tool/xenhost-suite-marker"

func (h Harness) dial(t *testing.T) *xenstore.Client {
	t.Helper()
	c, err := h.Dial(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	return c
}

func (s *suite) ctx() context.Context { return s.Context() }

// at is a path of the case.
func (s *suite) at(name string) string {
	if name == "" {
		return "/tool/xenhost-suite"
	}
	return "/tool/xenhost-suite/" + name
}

func (s *suite) put(name, value string) {
	s.Helper()
	require.NoError(s, s.Write(s.ctx(), s.at(name), []byte(value)))
}

func (s *suite) has(name, value string) {
	s.Helper()
	v, err := s.Read(s.ctx(), s.at(name))
	require.NoError(s, err)
	require.Equal(s, value, string(v))
}

func (s *suite) hasNot(name string) {
	s.Helper()
	_, err := s.Read(s.ctx(), s.at(name))
	s.refused(err, "read", fs.ErrNotExist)
}

// refused checks that err is a *xenstore.Error of op that means what it should.
func (s *suite) refused(err error, op string, means error) {
	s.Helper()
	require.ErrorIs(s, err, means)
	var e *xenstore.Error
	require.ErrorAs(s, err, &e)
	assert.Equal(s, op, e.Op)
}

// next returns the next event, which must come.
func (s *suite) next(w *xenstore.Watch) xenstore.Event {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx(), time.Minute)
	defer cancel()
	e, err := w.Next(ctx)
	require.NoError(s, err)
	return e
}

// settle returns when every event of what was done before has come: events of
// one connection come in order, also those of several watches.
func (s *suite) settle() {
	s.Helper()
	require.NoError(s, s.Write(s.ctx(), marker, nil))
	s.next(s.settled)
}

// quiet checks that no event is there, or on its way.
func (s *suite) quiet(w *xenstore.Watch) {
	s.Helper()
	s.settle()
	ctx, cancel := context.WithTimeout(s.ctx(), time.Millisecond)
	defer cancel()
	e, err := w.Next(ctx)
	require.ErrorIs(s, err, context.DeadlineExceeded, "an event came: %+v", e)
}
