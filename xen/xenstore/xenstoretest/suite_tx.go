package xenstoretest

import (
	"errors"
	"io/fs"
	"strconv"
	"sync"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen/xenstore"
)

func (s *suite) atOnce() {
	s.put("old", "1")
	var kept *xenstore.Tx
	require.NoError(s, s.Update(s.ctx(), func(tx *xenstore.Tx) error {
		kept = tx
		err := errors.Join(tx.Write(s.ctx(), s.at("a/b"), []byte("new")), tx.Remove(s.ctx(), s.at("old")))
		v, readErr := tx.Read(s.ctx(), s.at("a/b"))
		assert.Equal(s, "new", string(v), "it sees what it does")
		_, gone := tx.Read(s.ctx(), s.at("old"))
		assert.ErrorIs(s, gone, fs.ErrNotExist)
		s.hasNot("a/b") // others do not
		s.has("old", "1")
		return errors.Join(err, readErr)
	}))
	s.has("a/b", "new")
	s.hasNot("old")
	_, err := kept.Read(s.ctx(), s.at("a/b"))
	s.refused(err, "read", xenstore.ErrOver)
}

func (s *suite) undone() {
	s.put("a", "1")
	change := func(tx *xenstore.Tx) { require.NoError(s, tx.Write(s.ctx(), s.at("a"), []byte("2"))) }
	mine := errors.New("mine")
	err := s.Update(s.ctx(), func(tx *xenstore.Tx) error {
		change(tx)
		return mine
	})
	require.Same(s, mine, err)
	s.has("a", "1")
	require.PanicsWithValue(s, "mine", func() {
		_ = s.Update(s.ctx(), func(tx *xenstore.Tx) error {
			change(tx)
			panic("mine")
		})
	})
	s.has("a", "1")
}

// conflict: another connection changes what the transaction has read.
func (s *suite) conflict() {
	other := s.dial(s.T)
	s.put("a", "1")
	runs := 0
	require.NoError(s, s.Update(s.ctx(), func(tx *xenstore.Tx) error {
		v, err := tx.Read(s.ctx(), s.at("a"))
		if err != nil {
			return err
		}
		if runs++; runs == 1 {
			require.NoError(s, other.Write(s.ctx(), s.at("a"), []byte("2")))
		}
		return tx.Write(s.ctx(), s.at("b"), v)
	}))
	assert.Equal(s, 2, runs)
	s.has("b", "2")
}

// appears: what was not there was looked at too.
func (s *suite) appears() {
	runs := 0
	require.NoError(s, s.Update(s.ctx(), func(tx *xenstore.Tx) error {
		_, err := tx.Read(s.ctx(), s.at("a"))
		if runs++; runs == 1 {
			require.ErrorIs(s, err, fs.ErrNotExist)
			s.put("a", "1")
			return tx.Write(s.ctx(), s.at("b"), []byte("a is missing"))
		}
		return tx.Write(s.ctx(), s.at("b"), []byte("a is there"))
	}))
	assert.Equal(s, 2, runs)
	s.has("b", "a is there")
}

func (s *suite) elsewhere() {
	s.put("a", "1")
	s.put("b", "1")
	runs := 0
	require.NoError(s, s.Update(s.ctx(), func(tx *xenstore.Tx) error {
		runs++
		_, err := tx.Read(s.ctx(), s.at("a"))
		s.put("b", strconv.Itoa(runs+1))
		return errors.Join(err, tx.Write(s.ctx(), s.at("a"), []byte("2")))
	}))
	assert.Equal(s, 1, runs, "others elsewhere are no conflict")
	s.has("a", "2")
	s.has("b", "2")
}

// counter: several connections count together, and no step is lost.
func (s *suite) counter() {
	s.put("n", "0")
	var all sync.WaitGroup
	for _, c := range []*xenstore.Client{s.Client, s.dial(s.T), s.dial(s.T)} {
		all.Go(func() {
			for range 5 {
				assert.NoError(s, c.Update(s.ctx(), func(tx *xenstore.Tx) error {
					v, err := tx.Read(s.ctx(), s.at("n"))
					if err != nil {
						return err
					}
					n, err := v.Int(0, 1000)
					if err != nil {
						return err
					}
					return tx.Write(s.ctx(), s.at("n"), strconv.AppendInt(nil, n+1, 10))
				}))
			}
		})
	}
	all.Wait()
	s.has("n", "15")
}
