package lvmtest

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/xenhost/xenhost/lvm"
)

// GroupSpec is a volume group that a Fake starts with.
type GroupSpec struct {
	Name   string
	Size   int64      // bytes, cut to whole extents; 0 is 1 GiB
	Extent int64      // bytes; 0 is 4 MiB
	Pools  []PoolSpec // thin pools, which take their room at once
}

// PoolSpec is a thin pool of a group.
type PoolSpec struct {
	Name string
	Size int64 // bytes, rounded up to whole extents
}

// Fake is an lvm.Manager whose volumes are sparse files. Its methods may be
// called at the same time.
type Fake struct {
	dir string

	mu     sync.Mutex
	groups map[string]*group
	faults faults
}

var _ lvm.Manager = (*Fake)(nil)

type group struct {
	name         string
	size, extent int64
	volumes      map[string]*volume
}

type volume struct {
	lvm.Volume
	room     int64 // bytes taken from the group; 0 for thin ones
	block    int64 // of a pool: bytes of its blocks
	metadata int64 // of a pool that was created: bytes, which are in room too
	handles  map[*device]bool
	holds    int
	wiping   bool // by a call that runs now
	overflow bool // of a snapshot
}

// New returns a Fake that keeps the volumes of these groups under dir, as
// dir/GROUP/NAME while they are active. Nothing else may write there.
func New(dir string, groups ...GroupSpec) *Fake {
	f := &Fake{dir: dir, groups: make(map[string]*group)}
	for _, spec := range groups {
		g := &group{name: spec.Name, extent: spec.Extent, size: spec.Size, volumes: make(map[string]*volume)}
		if g.extent == 0 {
			g.extent = 4 << 20
		}
		if g.size == 0 {
			g.size = 1 << 30
		}
		g.size = g.size / g.extent * g.extent
		for _, p := range spec.Pools {
			size := g.view().Round(p.Size)
			g.volumes[p.Name] = &volume{room: size, block: poolBlock, Volume: lvm.Volume{
				ID: lvm.ID{Group: g.name, Name: p.Name}, Size: size, Kind: lvm.Pool, Active: true,
			}}
		}
		f.groups[g.name] = g
	}
	return f
}

// Groups implements lvm.Reader.
func (f *Fake) Groups(ctx context.Context) ([]lvm.Group, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	after, err := f.begin(ctx, "groups")
	if err != nil {
		return nil, failed("groups", "", err)
	}
	var all []lvm.Group
	for _, g := range f.groups {
		all = append(all, g.view())
	}
	slices.SortFunc(all, func(a, b lvm.Group) int { return strings.Compare(a.Name, b.Name) })
	return all, failed("groups", "", after)
}

// Volumes implements lvm.Reader.
func (f *Fake) Volumes(ctx context.Context, name string) ([]lvm.Volume, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	after, err := f.begin(ctx, "volumes")
	if err != nil {
		return nil, failed("volumes", name, err)
	}
	g, ok := f.groups[name]
	if !ok {
		return nil, failed("volumes", name, fs.ErrNotExist)
	}
	return f.list(g), failed("volumes", name, after)
}

// Volume implements lvm.Reader.
func (f *Fake) Volume(ctx context.Context, id lvm.ID) (lvm.Volume, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	after, err := f.begin(ctx, "volume")
	if err != nil {
		return lvm.Volume{}, failed("volume", id.String(), err)
	}
	_, v, err := f.find(id)
	if err != nil {
		return lvm.Volume{}, failed("volume", id.String(), err)
	}
	return f.show(v), failed("volume", id.String(), after)
}

// At returns the volume whose Path is path.
func (f *Fake) At(path string) (lvm.ID, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, g := range f.groups {
		for _, v := range g.volumes {
			if f.path(v.ID) == path {
				return v.ID, true
			}
		}
	}
	return lvm.ID{}, false
}

// String prints all volumes as lvs does.
func (f *Fake) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "VOLUME\tKIND\tSIZE\tSTATE\tFROM\tTAGS")
	for _, name := range sortedKeys(f.groups) {
		for _, v := range f.list(f.groups[name]) {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", v.ID, v.Kind, mebibytes(v.Size), state(v), orDash(v.Origin+v.Pool), orDash(strings.Join(v.Tags, ",")))
		}
	}
	w.Flush()
	return b.String()
}

func state(v lvm.Volume) string {
	words := []string{"inactive"}
	if v.Active {
		words[0] = "active"
	}
	if v.Open {
		words = append(words, "open")
	}
	if v.Skip {
		words = append(words, "skip")
	}
	return strings.Join(words, ",")
}

func mebibytes(size int64) string { return fmt.Sprintf("%.0fM", float64(size)/(1<<20)) }

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (g *group) view() lvm.Group {
	free, spare := g.size, int64(0)
	for _, v := range g.volumes {
		free -= v.room
		spare = max(spare, v.metadata)
	}
	free -= spare // to repair the metadata of a pool with
	return lvm.Group{Name: g.name, Size: g.size, Free: free, Extent: g.extent}
}

// list returns what Volumes shows of a group.
func (f *Fake) list(g *group) []lvm.Volume {
	var all []lvm.Volume
	for _, name := range sortedKeys(g.volumes) {
		all = append(all, f.show(g.volumes[name]))
	}
	return all
}

// show returns a copy that the caller may keep.
func (f *Fake) show(v *volume) lvm.Volume {
	out := v.Volume
	out.Tags = slices.Clone(v.Tags)
	out.Open = v.open()
	if v.Kind != lvm.Pool {
		out.Path = f.path(v.ID)
	}
	return out
}

func (v *volume) open() bool { return v.holds > 0 || v.wiping || len(v.handles) > 0 }

func (f *Fake) find(id lvm.ID) (*group, *volume, error) {
	if err := id.Valid(); err != nil {
		return nil, nil, err
	}
	g, ok := f.groups[id.Group]
	if !ok {
		return nil, nil, fmt.Errorf("%w: group %s", fs.ErrNotExist, id.Group)
	}
	v, ok := g.volumes[id.Name]
	if !ok {
		return g, nil, fs.ErrNotExist
	}
	return g, v, nil
}

func (f *Fake) path(id lvm.ID) string { return filepath.Join(f.dir, id.Group, id.Name) }

func failed(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &lvm.Error{Op: op, Name: name, Err: err}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
