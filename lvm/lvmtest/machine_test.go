package lvmtest_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/lvm/lvmtest"
)

// Whatever is called in whatever order, with faults and boots in between: the
// room adds up, an unwiped volume is never on, a held one never goes away, and
// a path is there exactly while its volume is active.
func TestAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "lvmtest") //nolint:usetesting // one a run, and gone after it
		require.NoError(t, err)
		defer os.RemoveAll(dir)
		const extent = 64 << 10
		f := lvmtest.New(dir, lvmtest.GroupSpec{Name: "g", Size: 24 * extent, Extent: extent, Pools: []lvmtest.PoolSpec{{Name: "pool", Size: 6 * extent}}})
		ctx, crash := context.Background(), errors.New("crash")
		held := map[lvm.ID]int{}
		id := func() lvm.ID {
			return lvm.ID{Group: "g", Name: rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "name")}
		}
		expected := func(err error) {
			for _, known := range []error{fs.ErrExist, fs.ErrNotExist, lvm.ErrNoSpace, lvm.ErrBusy, lvm.ErrUnwiped, lvm.ErrInactive, lvm.ErrInvalid, errors.ErrUnsupported} {
				if errors.Is(err, known) {
					return
				}
			}
			require.NoError(t, err)
		}
		t.Repeat(map[string]func(*rapid.T){
			"create": func(t *rapid.T) {
				spec := lvm.Spec{ID: id(), Size: rapid.Int64Range(1, 5*extent).Draw(t, "size"), Skip: rapid.Bool().Draw(t, "skip"), Inactive: rapid.Bool().Draw(t, "inactive")}
				switch rapid.IntRange(0, 5).Draw(t, "kind") {
				case 0:
					spec.Pool = "pool"
				case 1:
					spec.Unwiped = true
				case 2:
					f.Fail("wipe", crash)
				}
				v, err := f.Create(ctx, spec)
				if err == nil && !spec.Unwiped {
					assert.Equal(t, spec.Inactive, !v.Active)
					assert.Equal(t, spec.Skip, v.Skip)
				}
				expected(err)
			},
			"wipe":     func(t *rapid.T) { expected(f.Wipe(ctx, id())) },
			"snapshot": func(t *rapid.T) { _, err := f.Snapshot(ctx, id(), id().Name, nil); expected(err) },
			"remove":   func(t *rapid.T) { expected(f.Remove(ctx, id())) },
			"on":       func(t *rapid.T) { expected(f.Activate(ctx, id())) },
			"off":      func(t *rapid.T) { expected(f.Deactivate(ctx, id())) },
			"skip":     func(t *rapid.T) { expected(f.SetSkip(ctx, id(), rapid.Bool().Draw(t, "skip"))) },
			"boot":     func(t *rapid.T) { require.NoError(t, f.Boot()); clear(held) },
			"hold": func(t *rapid.T) {
				id := id()
				if err := f.Hold(id); err == nil {
					held[id]++
				}
			},
			"release": func(t *rapid.T) {
				id := id()
				if err := f.Release(id); err == nil {
					held[id]--
				}
			},
			"": func(t *rapid.T) {
				groups, err := f.Groups(ctx)
				require.NoError(t, err)
				volumes, err := f.Volumes(ctx, "g")
				require.NoError(t, err)
				used, promised := int64(6*extent), int64(0)
				for _, v := range volumes {
					switch v.Kind {
					case lvm.Pool:
						continue
					case lvm.Thick:
						used += v.Size
					case lvm.Snapshot:
						used += groups[0].Round(lvm.SnapshotRoom(v.Size))
					case lvm.Thin:
						promised += v.Size
					}
					_, err := os.Stat(v.Path)
					assert.Equal(t, v.Active, err == nil, v.ID)
					assert.False(t, v.Unwiped() && (v.Active || !v.Skip), v.ID)
					assert.Equal(t, held[v.ID] > 0, v.Open, v.ID)
				}
				assert.Equal(t, groups[0].Size-groups[0].Free, used)
				assert.LessOrEqual(t, promised, int64(6*extent))
				for id, n := range held {
					if n > 0 {
						_, err := f.Volume(ctx, id)
						assert.NoError(t, err)
					}
				}
			},
		})
	})
}
