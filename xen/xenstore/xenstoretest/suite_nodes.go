package xenstoretest

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen/xenstore"
)

func (s *suite) values() {
	for _, value := range []string{"", "1", "a b\nc", "a\x00b", "\x00", "\xff\xfe", `"quoted"`} {
		s.put("a", value)
		s.has("a", value)
	}
}

func (s *suite) missing() {
	s.hasNot("nope")
	_, err := s.List(s.ctx(), s.at("nope"))
	s.refused(err, "list", fs.ErrNotExist)
	_, err = s.Perms(s.ctx(), s.at("nope"))
	s.refused(err, "get permissions of", fs.ErrNotExist)
	s.refused(s.SetPerms(s.ctx(), s.at("nope"), xenstore.Perm{Access: xenstore.None}), "set permissions of", fs.ErrNotExist)
	require.NoError(s, s.Remove(s.ctx(), s.at("nope")), "it is gone, and so it should be")
	s.refused(s.Remove(s.ctx(), s.at("nope/below")), "remove", fs.ErrNotExist)
}

func (s *suite) parents() {
	s.put("a/b/c", "deep")
	s.has("a/b/c", "deep")
	s.has("a/b", "")
	s.has("a", "")
}

func (s *suite) mkdir() {
	require.NoError(s, s.Mkdir(s.ctx(), s.at("a/b")))
	s.has("a/b", "")
	s.put("a/b", "kept")
	require.NoError(s, s.Mkdir(s.ctx(), s.at("a/b")))
	s.has("a/b", "kept")
}

func (s *suite) remove() {
	s.put("a/b/c", "1")
	s.put("ab", "2")
	require.NoError(s, s.Remove(s.ctx(), s.at("a")))
	s.hasNot("a")
	s.hasNot("a/b/c")
	s.has("ab", "2")
	s.put("a/b/d", "3")
	s.hasNot("a/b/c")
	s.refused(s.Remove(s.ctx(), "/"), "remove", xenstore.ErrInvalid)
}

func (s *suite) list() {
	names, err := s.List(s.ctx(), s.at(""))
	require.NoError(s, err)
	require.Empty(s, names)
	s.put("b", "")
	s.put("a/c", "")
	names, err = s.List(s.ctx(), s.at(""))
	require.NoError(s, err)
	assert.ElementsMatch(s, []string{"a", "b"}, names)
	names, err = s.List(s.ctx(), "/")
	require.NoError(s, err)
	assert.Contains(s, names, "tool")
}

// listOfMany needs more than two messages.
func (s *suite) listOfMany() {
	var want []string
	for i := range 900 {
		name := fmt.Sprintf("node-%04d", i)
		want = append(want, name)
		s.put(name, "")
	}
	names, err := s.List(s.ctx(), s.at(""))
	require.NoError(s, err)
	assert.ElementsMatch(s, want, names)
	require.NoError(s, s.Update(s.ctx(), func(tx *xenstore.Tx) error {
		if err := tx.Remove(s.ctx(), s.at(want[0])); err != nil {
			return err
		}
		names, err := tx.List(s.ctx(), s.at(""))
		assert.ElementsMatch(s, want[1:], names)
		return err
	}))
}

func (s *suite) perms() {
	s.put("a", "")
	want := []xenstore.Perm{{Domain: 0, Access: xenstore.None}, {Domain: 7, Access: xenstore.Read}, {Domain: 9, Access: xenstore.ReadWrite}}
	require.NoError(s, s.SetPerms(s.ctx(), s.at("a"), want...))
	for _, path := range []string{"a", "a/b", "a/b/c"} { // what is made below inherits
		s.put(path, "x")
		got, err := s.Perms(s.ctx(), s.at(path))
		require.NoError(s, err)
		assert.Equal(s, want, got, path)
	}
	for _, bad := range []xenstore.Perm{{Domain: -1, Access: xenstore.Read}, {Domain: 1 << 15, Access: xenstore.Read}, {Domain: 1, Access: 'x'}} {
		s.refused(s.SetPerms(s.ctx(), s.at("a"), bad), "set permissions of", xenstore.ErrInvalid)
	}
	s.refused(s.SetPerms(s.ctx(), s.at("a")), "set permissions of", xenstore.ErrInvalid)
}

// sizes: what does not fit is refused before it would end the connection.
func (s *suite) sizes() {
	room := s.MaxBody - len(s.at("a")) - 1
	s.put("a", strings.Repeat("x", room))
	s.has("a", strings.Repeat("x", room))
	s.refused(s.Write(s.ctx(), s.at("a"), []byte(strings.Repeat("y", room+1))), "write", xenstore.ErrInvalid)
	s.has("a", strings.Repeat("x", room))
	long := s.at(strings.Repeat(strings.Repeat("d", 900)+"/", 2) + strings.Repeat("e", 300))
	require.NoError(s, s.Write(s.ctx(), long[:2048], []byte("deep")))
	v, err := s.Read(s.ctx(), long[:2048])
	require.NoError(s, err)
	assert.Equal(s, "deep", string(v))
	s.refused(s.Write(s.ctx(), long[:2049], nil), "write", xenstore.ErrInvalid)
}

func (s *suite) hostile() {
	s.put("a", "1")
	for _, path := range []string{
		"", "a", "tool", "./a", "//", s.at("a/"), s.at("/a"), s.at("a") + "\x00", s.at("\x00a"), s.at("a b"), s.at("a.b"), s.at("..") + "/a",
		s.at("a\nb"), s.at("é"), s.at("a:b"), s.at("a*"), s.at(strings.Repeat("x", 3072)), "@introduceDomain\x00", "@nothing", "~/a", `\`,
	} {
		_, err := s.Read(s.ctx(), path)
		s.refused(err, "read", xenstore.ErrInvalid)
		s.refused(s.Write(s.ctx(), path, []byte("x")), "write", xenstore.ErrInvalid)
		s.refused(s.Mkdir(s.ctx(), path), "mkdir", xenstore.ErrInvalid)
		s.refused(s.Remove(s.ctx(), path), "remove", xenstore.ErrInvalid)
		_, err = s.List(s.ctx(), path)
		s.refused(err, "list", xenstore.ErrInvalid)
		_, err = s.Watch(s.ctx(), path)
		s.refused(err, "watch", xenstore.ErrInvalid)
	}
	s.has("a", "1")
}

func (s *suite) domains() {
	path, err := s.DomainPath(s.ctx(), 5)
	require.NoError(s, err)
	assert.Equal(s, "/local/domain/5", path)
	for domid, want := range map[int]bool{0: true, 32000: false} {
		there, err := s.Introduced(s.ctx(), domid)
		require.NoError(s, err)
		assert.Equal(s, want, there, domid)
	}
	for _, domid := range []int{-1, 1 << 15} {
		_, err = s.DomainPath(s.ctx(), domid)
		s.refused(err, "find domain", xenstore.ErrInvalid)
		_, err = s.Introduced(s.ctx(), domid)
		s.refused(err, "look for domain", xenstore.ErrInvalid)
	}
}

func (s *suite) control() {
	said, err := s.Control(s.ctx(), "check")
	require.NoError(s, err)
	assert.Equal(s, "OK", said)
	_, err = s.Control(s.ctx(), "no-such-order")
	s.refused(err, "control", xenstore.ErrInvalid)
	_, err = s.Control(s.ctx(), "check\x00")
	s.refused(err, "control", xenstore.ErrInvalid)
}

// cancelled: a caller who goes takes nothing with him.
func (s *suite) cancelled() {
	ctx, cancel := context.WithCancel(s.ctx())
	cancel()
	_, err := s.Read(ctx, s.at(""))
	s.refused(err, "read", context.Canceled)
	_, err = s.Watch(ctx, s.at(""))
	s.refused(err, "watch", context.Canceled)
	require.ErrorIs(s, s.Update(ctx, func(*xenstore.Tx) error { return nil }), context.Canceled)
	s.put("a", "1")
	s.has("a", "1")
}

func (s *suite) concurrent() {
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			path := s.at(fmt.Sprintf("a%d", i))
			for j := range 10 {
				want := fmt.Sprintf("%d.%d", i, j)
				if !assert.NoError(s, s.Write(s.ctx(), path, []byte(want))) {
					return
				}
				got, err := s.Read(s.ctx(), path)
				if !assert.NoError(s, err) || !assert.Equal(s, want, string(got)) {
					return
				}
			}
		})
	}
	all.Wait()
}

func (s *suite) closed() {
	w, err := s.Watch(s.ctx(), s.at("a"))
	require.NoError(s, err)
	s.next(w)
	require.NoError(s, s.Err())
	require.NoError(s, s.Close())
	<-s.Done()
	require.ErrorIs(s, s.Err(), xenstore.ErrClosed)
	_, err = s.Read(s.ctx(), s.at("a"))
	s.refused(err, "read", xenstore.ErrClosed)
	_, err = w.Next(s.ctx())
	s.refused(err, "watch", xenstore.ErrClosed)
	require.NoError(s, w.Close(), "it has ended")
}
