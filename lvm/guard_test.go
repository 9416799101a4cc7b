package lvm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/lvm/lvmtest"
)

const night = "xenhost.test=night"

func quick() *lvm.GuardOptions { return &lvm.GuardOptions{Every: time.Millisecond} }

func guarded(t testing.TB) (*lvmtest.Fake, lvm.ID) {
	f := lvmtest.New(t.TempDir(), lvmtest.GroupSpec{Name: "guests", Extent: 1 << 20})
	web1 := lvm.ID{Group: "guests", Name: "web1"}
	_, err := f.Create(t.Context(), lvm.Spec{ID: web1, Size: 2 << 20})
	require.NoError(t, err)
	snap, err := f.Snapshot(t.Context(), web1, "web1-night", &lvm.SnapshotOptions{Size: 1 << 20, Tags: []string{night}})
	require.NoError(t, err)
	return f, snap.ID
}

// It does not go on as if it watched when it can not see.
func TestGuardBlind(t *testing.T) {
	f, snap := guarded(t)
	broken := errors.New("broken")
	f.Fail("fill", broken)
	err := lvm.Guard(t.Context(), f, night, []lvm.ID{snap}, quick())
	assert.ErrorIs(t, err, broken)
	assert.NotErrorIs(t, err, lvm.ErrAborted)
	_, err = f.Volume(t.Context(), snap)
	assert.NoError(t, err, "nothing was removed")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.NoError(t, lvm.Guard(ctx, f, night, []lvm.ID{snap}, nil))
	assert.NoError(t, lvm.Guard(t.Context(), f, night, nil, nil), "nothing to watch")
}

// swapped is a host on which somebody gives the snapshot's name to a guest's
// volume just before it would be removed.
type swapped struct {
	*lvmtest.Fake
	t    testing.TB
	snap lvm.ID
}

func (s swapped) Fill(context.Context, lvm.ID) (lvm.Fill, error) {
	ctx := s.t.Context()
	require.NoError(s.t, s.Fake.Remove(ctx, s.snap))
	_, err := s.Fake.Create(ctx, lvm.Spec{ID: s.snap, Size: 1 << 20, Tags: []string{night}})
	require.NoError(s.t, err)
	return lvm.Fill{Used: 99, Size: 100}, nil
}

func TestGuardRemovesNothingElse(t *testing.T) {
	f, snap := guarded(t)
	err := lvm.Guard(t.Context(), swapped{f, t, snap}, night, []lvm.ID{snap}, quick())
	assert.ErrorIs(t, err, lvm.ErrInvalid)
	v, err := f.Volume(t.Context(), snap)
	require.NoError(t, err)
	assert.Equal(t, lvm.Thick, v.Kind)
}

// counted ends the guard once it has looked that often.
type counted struct {
	*lvmtest.Fake
	left int
	end  context.CancelFunc
}

func (c *counted) Fill(ctx context.Context, id lvm.ID) (lvm.Fill, error) {
	if c.left--; c.left == 0 {
		c.end()
	}
	return c.Fake.Fill(context.WithoutCancel(ctx), id)
}

// A snapshot with room for every chunk does no harm, however full.
func TestGuardKeepsWhatCanNotOverflow(t *testing.T) {
	f := lvmtest.New(t.TempDir(), lvmtest.GroupSpec{Name: "guests", Extent: 64 << 10})
	web1 := lvm.ID{Group: "guests", Name: "web1"}
	_, err := f.Create(t.Context(), lvm.Spec{ID: web1, Size: 960 << 10})
	require.NoError(t, err)
	snap, err := f.Snapshot(t.Context(), web1, "web1-night", &lvm.SnapshotOptions{Tags: []string{night}})
	require.NoError(t, err)
	fillUp(t, f)
	fill, err := f.Fill(t.Context(), snap.ID)
	require.NoError(t, err)
	require.Greater(t, fill.Share(), 0.9)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	assert.NoError(t, lvm.Guard(ctx, &counted{f, 3, cancel}, night, []lvm.ID{snap.ID}, quick()))
	_, err = f.Volume(t.Context(), snap.ID)
	assert.NoError(t, err)
}

// A guard that is told to end while it gives a snapshot up does so first.
func TestGuardEndsWhatItBegan(t *testing.T) {
	for _, open := range []bool{false, true} {
		f, snap := guarded(t)
		fillUp(t, f)
		if open {
			require.NoError(t, f.Hold(snap))
		}
		ctx, cancel := context.WithCancel(t.Context())
		err := lvm.Guard(ctx, f, night, []lvm.ID{snap}, &lvm.GuardOptions{GivesUp: func(lvm.Volume, error) { cancel() }})
		assert.ErrorIs(t, err, lvm.ErrAborted)
		_, gone := f.Volume(t.Context(), snap)
		if open {
			assert.ErrorIs(t, err, lvm.ErrBusy, "it says that it is there still")
			assert.NoError(t, gone)
		} else {
			assert.ErrorIs(t, gone, fs.ErrNotExist)
		}
	}
}

// fillUp writes almost more to web1 than its snapshot can keep.
func fillUp(t testing.TB, f *lvmtest.Fake) {
	d, err := f.Open(t.Context(), lvm.ID{Group: "guests", Name: "web1"})
	require.NoError(t, err)
	_, err = d.WriteAt(bytes.Repeat([]byte("x"), 960<<10), 0)
	require.NoError(t, err)
	require.NoError(t, d.Close())
}

// A guest writes more than the snapshot of it can keep.
func ExampleGuard() {
	dir, err := os.MkdirTemp("", "lvm")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	ctx, mark := context.Background(), "xenhost.job=night"
	m := lvmtest.New(dir, lvmtest.GroupSpec{Name: "guests", Extent: 1 << 20})
	web1, err := m.Create(ctx, lvm.Spec{ID: lvm.ID{Group: "guests", Name: "web1"}, Size: 4 << 20})
	if err != nil {
		panic(err)
	}
	snap, err := m.Snapshot(ctx, web1.ID, "web1-night", &lvm.SnapshotOptions{Size: 1 << 20, Tags: []string{mark}})
	if err != nil {
		panic(err)
	}
	disk, err := m.Open(ctx, web1.ID)
	if err != nil {
		panic(err)
	}
	_, err = disk.WriteAt(bytes.Repeat([]byte("x"), 960<<10), 0)
	fmt.Println(errors.Join(err, disk.Close()))

	err = lvm.Guard(ctx, m, mark, []lvm.ID{snap.ID}, &lvm.GuardOptions{
		GivesUp: func(v lvm.Volume, _ error) { fmt.Println("stop reading", v.Name) },
	})
	fmt.Println(err)
	fmt.Println(errors.Is(err, lvm.ErrAborted), errors.Is(err, lvm.ErrSnapshotInvalid))
	// Output:
	// <nil>
	// stop reading web1-night
	// lvm: guard guests/web1-night: snapshot was given up: it uses 991232 of 1048576 bytes
	// true false
}
