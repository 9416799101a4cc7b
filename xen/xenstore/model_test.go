package xenstore_test

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/xenhost/xenhost/xen/xenstore"
	"github.com/xenhost/xenhost/xen/xenstore/xenstoretest"
)

// model is a store as simple as can be: values by path, below top.
type model map[string]string

const top = "/tool/model"

func (m model) write(path, value string) {
	for p := path; p != top; p = p[:strings.LastIndex(p, "/")] {
		if _, ok := m[p]; !ok {
			m[p] = ""
		}
	}
	m[path] = value
}

func (m model) remove(path string) error {
	up := path[:strings.LastIndex(path, "/")]
	if _, ok := m[up]; !ok && up != top {
		return fs.ErrNotExist
	}
	maps.DeleteFunc(m, func(p, _ string) bool { return p == path || strings.HasPrefix(p, path+"/") })
	return nil
}

func (m model) list(path string) (names []string) {
	for p := range m {
		if name, ok := strings.CutPrefix(p, path+"/"); ok && !strings.Contains(name, "/") {
			names = append(names, name)
		}
	}
	return names
}

// nodes is what a Client and a Tx can do.
type nodes interface {
	Read(ctx context.Context, path string) (xenstore.Untrusted, error)
	Write(ctx context.Context, path string, value []byte) error
	Mkdir(ctx context.Context, path string) error
	Remove(ctx context.Context, path string) error
	List(ctx context.Context, path string) ([]string, error)
}

// step does one thing to both.
func step(t *rapid.T, n nodes, m model) {
	ctx := context.Background()
	path := top
	for range rapid.IntRange(1, 3).Draw(t, "depth") {
		path += "/" + rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name")
	}
	want, there := m[path]
	switch rapid.SampledFrom([]string{"read", "write", "mkdir", "remove", "list"}).Draw(t, "verb") {
	case "read":
		got, err := n.Read(ctx, path)
		require.Equal(t, there, err == nil, "%v", err)
		require.Equal(t, want, string(got))
	case "write":
		value := rapid.StringN(0, 8, -1).Draw(t, "value")
		require.NoError(t, n.Write(ctx, path, []byte(value)))
		m.write(path, value)
	case "mkdir":
		require.NoError(t, n.Mkdir(ctx, path))
		m.write(path, want)
	case "remove":
		err := m.remove(path)
		require.Equal(t, err == nil, n.Remove(ctx, path) == nil)
	case "list":
		names, err := n.List(ctx, path)
		require.Equal(t, there, err == nil, "%v", err)
		require.ElementsMatch(t, m.list(path), names)
	}
}

// Whatever is done, alone and in transactions that end well or not, the store
// holds what the model holds.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := xenstoretest.New(nil).Dial(nil)
		defer c.Close()
		ctx := context.Background()
		require.NoError(t, c.Mkdir(ctx, top))
		m := model{}
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				inside := maps.Clone(m)
				fails := rapid.Bool().Draw(t, "fails")
				given := errors.New("given up")
				err := c.Update(ctx, func(tx *xenstore.Tx) error {
					for range rapid.IntRange(0, 5).Draw(t, "inside") {
						step(t, tx, inside)
					}
					if fails {
						return given
					}
					return nil
				})
				if fails {
					require.Equal(t, given, err)
				} else {
					require.NoError(t, err)
					m = inside
				}
			default:
				step(t, c, m)
			}
		}
		for _, path := range slices.Sorted(maps.Keys(m)) {
			v, err := c.Read(ctx, path)
			require.NoError(t, err)
			require.Equal(t, m[path], string(v))
		}
	})
}
