package lvmtest_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/lvm/lvmtest"
)

func newFake(t testing.TB) *lvmtest.Fake {
	return lvmtest.New(t.TempDir(), lvmtest.GroupSpec{
		Name: "guests", Size: 160<<20 + 5, Extent: 1 << 20, Pools: []lvmtest.PoolSpec{{Name: "pool", Size: 8 << 20}},
	}, lvmtest.GroupSpec{Name: "backup"})
}

func harness(t testing.TB) lvmtest.Harness {
	f := newFake(t)
	return lvmtest.Harness{
		Manager: f, Group: "guests", Pool: "pool",
		Boot: func(t testing.TB) { require.NoError(t, f.Boot()) },
		Hold: func(t testing.TB, v lvm.Volume) func() {
			d, err := f.Open(t.Context(), v.ID) // which follows a Rename
			require.NoError(t, err)
			return func() { require.NoError(t, d.Close()) }
		},
		Discard: func(t testing.TB, v lvm.Volume, offset, length int64) {
			d, err := f.Open(t.Context(), v.ID)
			require.NoError(t, err)
			require.NoError(t, d.Zero(offset, length))
			require.NoError(t, d.Close())
		},
	}
}

func TestFakeMetadata(t *testing.T) { lvmtest.TestMetadata(t, harness(t)) }
func TestFakeContent(t *testing.T)  { lvmtest.TestContent(t, harness(t)) }

var web1 = lvm.Spec{ID: lvm.ID{Group: "guests", Name: "web1"}, Size: 4 << 20}

func TestUnwipedHoldsRemains(t *testing.T) {
	ctx, f := context.Background(), newFake(t)
	f.Fail("wipe", errors.New("killed"))
	_, err := f.Create(ctx, web1)
	require.ErrorIs(t, err, lvm.ErrUnwiped)
	_, err = f.Create(ctx, web1)
	require.NoError(t, err)
	d, err := f.Open(ctx, web1.ID)
	require.NoError(t, err)
	data, err := io.ReadAll(io.NewSectionReader(d, 0, d.Size()))
	require.NoError(t, err)
	assert.NotContains(t, string(data), lvmtest.Remains)
	require.NoError(t, d.Close())
}

func TestFaults(t *testing.T) {
	ctx, f, broken := context.Background(), newFake(t), errors.New("broken")
	f.Fail("create", broken)
	_, err := f.Create(ctx, web1)
	assert.EqualError(t, err, "lvm: create guests/web1: broken")
	_, err = f.Volume(ctx, web1.ID)
	assert.ErrorIs(t, err, fs.ErrNotExist, "nothing was done")

	f.FailAfter("create", broken)
	_, err = f.Create(ctx, web1)
	assert.ErrorIs(t, err, broken)
	v, err := f.Volume(ctx, web1.ID)
	require.NoError(t, err, "it was done all the same")

	d, err := f.Open(ctx, web1.ID)
	require.NoError(t, err)
	f.FailWrite(2, broken)
	_, err = d.WriteAt([]byte("one."), 0)
	require.NoError(t, err)
	n, err := d.WriteAt([]byte("two."), 0)
	assert.ErrorIs(t, err, broken)
	assert.Equal(t, 2, n)
	_, err = d.WriteAt([]byte("!"), 3)
	require.NoError(t, err, "once")
	data, err := os.ReadFile(v.Path)
	require.NoError(t, err)
	assert.Equal(t, "twe!", string(data[:4]), "half of it was written")

	require.NoError(t, f.Boot())
	_, err = d.ReadAt(make([]byte, 4), 0)
	assert.ErrorIs(t, err, fs.ErrClosed)
	v, err = f.Volume(ctx, web1.ID)
	require.NoError(t, err)
	assert.True(t, v.Active)
	assert.False(t, v.Open)
}

func TestAt(t *testing.T) {
	f := newFake(t)
	v, err := f.Create(context.Background(), web1)
	require.NoError(t, err)
	id, ok := f.At(v.Path)
	assert.True(t, ok)
	assert.Equal(t, web1.ID, id)
	_, ok = f.At("/dev/guests/web1")
	assert.False(t, ok)
}

func TestManyAtOnce(t *testing.T) {
	ctx, f := context.Background(), newFake(t)
	done := make(chan error)
	for i := range 8 {
		go func() {
			spec := lvm.Spec{ID: lvm.ID{Group: "guests", Name: string(rune('a' + i))}, Size: 2 << 20}
			_, err := f.Create(ctx, spec)
			_, listErr := f.Volumes(ctx, "guests")
			done <- errors.Join(err, listErr, f.Tag(ctx, spec.ID, []string{"x"}, nil), f.Remove(ctx, spec.ID))
		}()
	}
	for range 8 {
		assert.NoError(t, <-done)
	}
	volumes, err := f.Volumes(ctx, "guests")
	require.NoError(t, err)
	assert.Len(t, volumes, 1, "the pool")
}
