package xentest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
)

// image keeps what Save writes, in pieces: it can be all of a guest's memory.
type image struct {
	pieces [][]byte
	size   int64
	limit  int64 // fails behind it; 0: never
	fails  func() error
}

func (m *image) Write(p []byte) (int, error) {
	if m.limit > 0 && m.size >= m.limit {
		return 0, m.fails()
	}
	m.pieces = append(m.pieces, bytes.Clone(p))
	m.size += int64(len(p))
	return len(p), nil
}

func (m *image) reader() io.Reader {
	var all []io.Reader
	for _, p := range m.pieces {
		all = append(all, bytes.NewReader(p))
	}
	return io.MultiReader(all...)
}

var errFull = errors.New("no room for the image")

// saved takes a guest through a stream and back, with the stream cut at both
// ends.
func (s *suite) saved(t *testing.T) {
	d := role[xen.Saver](t, s)
	spec := s.spec(t, "suite-saved")
	free := s.free(t)
	first := s.start(t, spec)
	boots := s.boots(t, spec)
	goesOn := func(t *testing.T) {
		t.Helper()
		assert.Equal(t, first.ID, s.sees(t, spec.UUID, xen.Running).ID)
		s.up(t, spec)
		assert.Equal(t, boots, s.boots(t, spec), "it did not boot again")
	}
	keep := &image{}

	s.run(t, "writer that fails", func(t *testing.T) {
		err := d.Save(t.Context(), spec.UUID, &image{limit: 100_000, fails: func() error { return errFull }}, nil)
		refused(t, err, "save", errFull)
		require.NotErrorIs(t, err, xen.ErrDirty)
		goesOn(t)
	})
	s.run(t, "cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		err := d.Save(ctx, spec.UUID, &image{limit: 100_000, fails: func() error { cancel(); return ctx.Err() }}, nil)
		refused(t, err, "save", context.Canceled)
		goesOn(t)
	})
	s.run(t, "paused guest", func(t *testing.T) {
		require.NoError(t, s.d.Pause(t.Context(), spec.UUID))
		refused(t, d.Save(t.Context(), spec.UUID, &image{}, nil), "save", xen.ErrBusy)
		require.NoError(t, s.d.Unpause(t.Context(), spec.UUID))
		goesOn(t)
	})
	s.run(t, "save and go on", func(t *testing.T) {
		var copied image
		require.NoError(t, d.Save(t.Context(), spec.UUID, &copied, &xen.SaveOptions{Then: xen.Running}))
		assert.Positive(t, copied.size)
		goesOn(t)
	})
	s.run(t, "what is no state to be left in", func(t *testing.T) {
		refused(t, d.Save(t.Context(), spec.UUID, &image{}, &xen.SaveOptions{Then: xen.Crashed}), "save", xen.ErrInvalid)
		goesOn(t)
	})
	s.run(t, "restore while it runs", func(t *testing.T) {
		_, err := d.Restore(t.Context(), spec, strings.NewReader("never read"), nil)
		refused(t, err, "restore", fs.ErrExist)
		goesOn(t)
	})
	save := func(t *testing.T) {
		*keep = image{}
		require.NoError(t, d.Save(t.Context(), spec.UUID, keep, nil))
		s.gone(t, spec.UUID)
		assert.Equal(t, free, s.free(t), "memory is back")
	}
	restore := func(t *testing.T) {
		back, err := d.Restore(t.Context(), spec, keep.reader(), &xen.RestoreOptions{Paused: true})
		require.NoError(t, err)
		assert.Greater(t, back.ID, first.ID)
		assert.Equal(t, back.ID, s.sees(t, spec.UUID, xen.Paused).ID)
		s.is(t, spec)
		require.NoError(t, s.d.Unpause(t.Context(), spec.UUID))
		first = back
		goesOn(t)
	}
	s.run(t, "save", save)
	s.run(t, "restore", restore)
	s.run(t, "save again", save)
	for name, r := range map[string]func() io.Reader{
		"restore of half":         func() io.Reader { return io.LimitReader(keep.reader(), keep.size/2) },
		"restore of no save file": func() io.Reader { return strings.NewReader(strings.Repeat("no save file\n", 100)) },
		"restore of nothing":      func() io.Reader { return strings.NewReader("") },
		"reader that fails": func() io.Reader {
			return io.MultiReader(io.LimitReader(keep.reader(), 100_000), brokenReader{})
		},
	} {
		s.run(t, name, func(t *testing.T) {
			_, err := d.Restore(t.Context(), spec, r(), nil)
			require.Error(t, err)
			var e *xen.Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, "restore", e.Op)
			s.gone(t, spec.UUID)
			assert.Equal(t, free, s.free(t), "nothing is left behind")
		})
	}
	s.run(t, "restore again", restore)
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errFull }
