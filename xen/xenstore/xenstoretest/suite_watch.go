package xenstoretest

import (
	"context"
	"fmt"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen/xenstore"
)

// watching begins a watch and takes its first event.
func (s *suite) watching(path string) *xenstore.Watch {
	s.Helper()
	w, err := s.Watch(s.ctx(), path)
	require.NoError(s, err)
	require.Equal(s, xenstore.Event{Path: path}, s.next(w), "one event is there at once")
	return w
}

func (s *suite) watch() {
	other := s.dial(s.T)
	w := s.watching(s.at("a"))
	for _, name := range []string{"a", "a/b", "a/b/c"} {
		require.NoError(s, other.Write(s.ctx(), s.at(name), []byte("1")))
		assert.Equal(s, xenstore.Event{Path: s.at(name)}, s.next(w))
	}
	s.put("ab", "1")
	s.put("b", "1")
	s.quiet(w)
	require.NoError(s, s.Remove(s.ctx(), s.at("a/b/c")))
	assert.Equal(s, xenstore.Event{Path: s.at("a/b/c")}, s.next(w))
	require.NoError(s, s.SetPerms(s.ctx(), s.at("a"), xenstore.Perm{Access: xenstore.Read}))
	assert.Equal(s, xenstore.Event{Path: s.at("a")}, s.next(w))
	require.NoError(s, w.Close())
	require.NoError(s, w.Close(), "again")
}

// watchRemoved: a removal above tells each watch of its own path, once.
func (s *suite) watchRemoved() {
	s.put("a/b/c", "1")
	above, at, below := s.watching(s.at("")), s.watching(s.at("a/b")), s.watching(s.at("a/b/c/d"))
	require.NoError(s, s.Remove(s.ctx(), s.at("a")))
	assert.Equal(s, xenstore.Event{Path: s.at("a")}, s.next(above))
	assert.Equal(s, xenstore.Event{Path: s.at("a/b")}, s.next(at))
	s.quiet(above)
	s.quiet(at)
	s.quiet(below) // it was never there
}

func (s *suite) watchTx() {
	w := s.watching(s.at("a"))
	require.NoError(s, s.Update(s.ctx(), func(tx *xenstore.Tx) error {
		err := tx.Write(s.ctx(), s.at("a"), []byte("1"))
		s.quiet(w)
		return err
	}))
	assert.Equal(s, xenstore.Event{Path: s.at("a")}, s.next(w))
	_ = s.Update(s.ctx(), func(tx *xenstore.Tx) error {
		require.NoError(s, tx.Write(s.ctx(), s.at("a"), []byte("2")))
		return context.Canceled
	})
	s.quiet(w)
}

func (s *suite) watchTwice() {
	one, two := s.watching(s.at("a")), s.watching(s.at("a"))
	s.put("a", "1")
	assert.Equal(s, xenstore.Event{Path: s.at("a")}, s.next(one))
	assert.Equal(s, xenstore.Event{Path: s.at("a")}, s.next(two))
	require.NoError(s, one.Close())
	s.put("a", "2")
	assert.Equal(s, xenstore.Event{Path: s.at("a")}, s.next(two), "the other one goes on")
}

// watchOverflow: a watch that nobody reads holds up nobody, and what did not
// fit is not lost silently.
func (s *suite) watchOverflow() {
	w := s.watching(s.at("a"))
	for i := range 300 {
		s.put(fmt.Sprintf("a/%d", i), "1")
	}
	s.settle()
	assert.Equal(s, xenstore.Event{Overflow: true}, s.next(w))
	s.put("a/last", "1")
	for e := s.next(w); e.Path != s.at("a/last"); e = s.next(w) { // what came after the overflow
		require.False(s, e.Overflow)
	}
	for range 10 {
		s.put("a/same", "1") // one path waits once
	}
	s.settle()
	assert.Equal(s, xenstore.Event{Path: s.at("a/same")}, s.next(w))
	s.quiet(w)
}

func (s *suite) watchSeveral() {
	w, err := s.Watch(s.ctx(), s.at("a"), s.at("b"))
	require.NoError(s, err)
	assert.Equal(s, []string{s.at("a"), s.at("b")}, []string{s.next(w).Path, s.next(w).Path})
	for _, name := range []string{"b", "a/x"} {
		s.put(name, "1")
		assert.Equal(s, xenstore.Event{Path: s.at(name)}, s.next(w))
	}
	_, err = s.Watch(s.ctx())
	s.refused(err, "watch", xenstore.ErrInvalid)
	_, err = s.Watch(s.ctx(), s.at("a"), "b")
	s.refused(err, "watch", xenstore.ErrInvalid)
	require.NoError(s, w.Close())
}

func (s *suite) watchClosed() {
	w := s.watching(s.at("a"))
	ended := make(chan error)
	go func() {
		_, err := w.Next(s.ctx())
		ended <- err
	}()
	require.NoError(s, w.Close())
	s.refused(<-ended, "watch", xenstore.ErrClosed)
	_, err := w.Next(s.ctx())
	s.refused(err, "watch", xenstore.ErrClosed)
}

func (s *suite) watchSpecial() {
	for _, name := range []string{xenstore.IntroduceDomain, xenstore.ReleaseDomain} {
		w := s.watching(name)
		s.put("a", "1")
		s.quiet(w)
		require.NoError(s, w.Close())
	}
}
