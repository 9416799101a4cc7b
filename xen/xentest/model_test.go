package xentest_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/xentest"
)

// model is what the Fake should hold: a few guests that share names, disks and
// memory.
type model struct {
	host   *xentest.Fake
	specs  []xen.Spec
	runs   map[uuid.UUID]xen.Domain
	more   map[uuid.UUID][]xen.Disk // attached
	lastID int
}

// gone forgets a guest.
func (m *model) gone(id uuid.UUID) {
	delete(m.runs, id)
	delete(m.more, id)
}

func (m *model) draw(t *rapid.T) xen.Spec { return rapid.SampledFrom(m.specs).Draw(t, "guest") }

// expect checks that the verb failed if and only if the guest is not there.
func (m *model) expect(t *rapid.T, id uuid.UUID, err error) bool {
	_, there := m.runs[id]
	if there {
		require.NoError(t, err)
	} else {
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
	return there
}

func (m *model) create(t *rapid.T) {
	spec, paused := m.draw(t), rapid.Bool().Draw(t, "paused")
	d, err := m.host.Create(context.Background(), spec, &xen.CreateOptions{Paused: paused})
	var free int64 = 1 << 30
	taken, busy := false, false
	for _, other := range m.runs {
		free -= other.Memory + 4<<20
		taken = taken || other.UUID == spec.UUID || other.Name == spec.Name
		for _, s := range m.specs {
			busy = busy || s.UUID == other.UUID && s.Disks[0].Path == spec.Disks[0].Path
			busy = busy || slices.ContainsFunc(m.more[other.UUID], func(d xen.Disk) bool { return d.Path == spec.Disks[0].Path })
		}
	}
	switch {
	case taken:
		require.ErrorIs(t, err, fs.ErrExist)
	case free < spec.Memory+4<<20:
		require.ErrorIs(t, err, xen.ErrNoMemory)
	case busy:
		require.ErrorIs(t, err, xen.ErrBusy)
	default:
		require.NoError(t, err)
		require.Greater(t, d.ID, m.lastID)
		require.Equal(t, paused, d.State == xen.Paused)
		m.lastID = d.ID
		m.runs[spec.UUID] = d
	}
}

func (m *model) turn(t *rapid.T, verb func(context.Context, uuid.UUID) error, to xen.State) {
	id := m.draw(t).UUID
	if m.expect(t, id, verb(context.Background(), id)) {
		d := m.runs[id]
		d.State = to
		m.runs[id] = d
	}
}

func (m *model) rename(t *rapid.T) {
	id, name := m.draw(t).UUID, rapid.SampledFrom([]string{"a", "b", "c", "web"}).Draw(t, "name")
	err := m.host.Rename(context.Background(), id, name)
	for _, other := range m.runs {
		if other.Name == name && other.UUID != id && m.runs[id].ID != 0 {
			require.ErrorIs(t, err, fs.ErrExist)
			return
		}
	}
	if m.expect(t, id, err) {
		d := m.runs[id]
		d.Name = name
		m.runs[id] = d
	}
}

func (m *model) end(t *rapid.T) {
	id := m.draw(t).UUID
	want := xen.Clean
	if m.runs[id].State == xen.Paused {
		want = xen.Destroyed
	}
	how, err := m.host.Shutdown(context.Background(), id, nil)
	if m.expect(t, id, err) {
		require.Equal(t, want, how)
		m.gone(id)
	}
}

func (m *model) reboot(t *rapid.T) {
	id := m.draw(t).UUID
	if err := m.host.GuestReboot(id); m.runs[id].State != xen.Running {
		require.Error(t, err)
		return
	}
	d, err := m.host.Lookup(context.Background(), id)
	require.NoError(t, err)
	require.Greater(t, d.ID, m.lastID)
	m.lastID = d.ID
	m.runs[id] = d
}

func (m *model) check(t *rapid.T) {
	list, err := m.host.List(context.Background())
	require.NoError(t, err)
	require.Len(t, list, len(m.runs))
	last := 0
	for _, d := range list {
		require.Greater(t, d.ID, last)
		last = d.ID
		want := m.runs[d.UUID]
		want.CPUTime, d.CPUTime = 0, 0
		require.Equal(t, want, d)
		spec, err := m.host.Config(context.Background(), d.UUID)
		require.NoError(t, err)
		require.Len(t, spec.Disks, 1+len(m.more[d.UUID]))
		for i, disk := range m.more[d.UUID] {
			require.Equal(t, disk, spec.Disks[1+i])
		}
	}
}

func TestFakeHoldsToItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{host: xentest.New(&xentest.Options{Memory: 1 << 30, AnyDisk: true}), runs: make(map[uuid.UUID]xen.Domain), more: make(map[uuid.UUID][]xen.Disk)}
		for i, name := range []string{"a", "b", "c", "a"} {
			s := guest(name)
			s.Memory = int64(128<<i) << 20
			s.Disks = []xen.Disk{{Dev: "xvda", Path: fmt.Sprintf("/disk%d", i%3)}}
			s.Memory = min(s.Memory, 512<<20)
			m.specs = append(m.specs, s)
		}
		t.Repeat(map[string]func(*rapid.T){
			"":        m.check,
			"create":  m.create,
			"pause":   func(t *rapid.T) { m.turn(t, m.host.Pause, xen.Paused) },
			"unpause": func(t *rapid.T) { m.turn(t, m.host.Unpause, xen.Running) },
			"rename":  m.rename,
			"end":     m.end,
			"reboot":  m.reboot,
			"attach":  m.attach,
			"detach":  m.detach,
			"carry":   m.carry,
			"destroy": func(t *rapid.T) {
				id := m.draw(t).UUID
				if m.expect(t, id, m.host.Destroy(context.Background(), id)) {
					m.gone(id)
				}
			},
			"power": func(*rapid.T) {
				m.host.PowerOff()
				m.host.PowerOn()
				m.runs, m.more, m.lastID = make(map[uuid.UUID]xen.Domain), make(map[uuid.UUID][]xen.Disk), 0
			},
		})
	})
}

// Many callers at once: no program outlives its domain, and no two of one
// guest run together.
func TestFakeUnderFire(t *testing.T) {
	var living [3]atomic.Int32
	specs := []xen.Spec{guest("a"), guest("b"), guest("c")}
	index := map[uuid.UUID]int{}
	for i, s := range specs {
		index[s.UUID] = i
	}
	host := xentest.New(&xentest.Options{Program: func(ctx context.Context, g *xentest.Guest) {
		n := &living[index[g.Spec().UUID]]
		assert.EqualValues(t, 1, n.Add(1), "only one runs")
		defer n.Add(-1)
		for g.Step(ctx, func() error { return nil }) == nil {
			time.Sleep(time.Microsecond)
		}
	}})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			ctx := context.Background()
			for range 300 {
				s := specs[rand.IntN(len(specs))]
				var err error
				switch rand.IntN(10) {
				case 0, 1, 2:
					_, err = host.Create(ctx, s, &xen.CreateOptions{Paused: rand.IntN(2) == 0})
				case 3:
					_, err = host.Shutdown(ctx, s.UUID, &xen.ShutdownOptions{Grace: time.Second})
				case 4:
					err = host.Destroy(ctx, s.UUID)
				case 5:
					err = host.Pause(ctx, s.UUID)
				case 6:
					err = host.Unpause(ctx, s.UUID)
				case 7:
					_ = host.GuestReboot(s.UUID)
				case 8:
					_ = host.GuestCrash(s.UUID)
				case 9:
					if rand.IntN(5) == 0 {
						host.PowerOff()
						host.PowerOn()
					}
				}
				known := err == nil || errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, xentest.ErrOff) || errors.Is(err, xen.ErrBusy)
				assert.True(t, known, "%v", err)
			}
		})
	}
	wg.Wait()
	host.PowerOff()
	for i := range living {
		assert.Zero(t, living[i].Load())
	}
}
