package libvirt

import (
	"testing"
	"time"

	rpc "github.com/digitalocean/go-libvirt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/xenhost/xenhost/xen"
)

// sized answers what SetMemory and SetVCPUs ask for first.
func (d *daemon) sized(set func(proc uint32, args []byte)) {
	d.answer = func(proc uint32, args []byte) (xdr, *rpc.Error, bool) {
		switch proc {
		case procMaxMemory:
			return xdr(nil).u64(4 << 20), nil, true
		case procGetVCPUs:
			return xdr(nil).u32(2), nil, true
		case procSetMemory, procSetVCPUs:
			set(proc, args)
			return nil, nil, true
		case procVCPUs:
			reply := xdr(nil).u32(2)
			for n := range uint32(2) {
				reply = reply.u32(n).u32(uint32(rpc.VCPUBlocked)).u64(uint64(n)).u32(0)
			}
			return reply.u32(0), nil, true
		}
		return nil, nil, false
	}
}

func TestGuestThatDoesNotAnswer(t *testing.T) {
	d, spec := startDaemon(t), testSpec(t)
	d.domains = []guest{running(spec)}
	asked := 0
	d.sized(func(uint32, []byte) { asked++ })
	driver := d.limited(Limits{Resize: 300 * time.Millisecond})
	err := driver.SetMemory(t.Context(), spec.UUID, 64<<20)
	require.ErrorIs(t, err, xen.ErrNoAnswer)
	assert.ErrorContains(t, err, "it has 128 MiB")
	err = driver.SetVCPUs(t.Context(), spec.UUID, 1)
	require.ErrorIs(t, err, xen.ErrNoAnswer, "the second vCPU still waits for something")
	assert.Equal(t, 2, asked)
	err = driver.SetMemory(t.Context(), spec.UUID, 2<<30)
	require.ErrorIs(t, err, xen.ErrNoMemory)
	assert.Equal(t, 2, asked, "the host has not that much")
}

func TestGuestThatAnswersLate(t *testing.T) {
	d, spec := startDaemon(t), testSpec(t)
	d.domains = []guest{running(spec)}
	d.sized(func(proc uint32, _ []byte) {
		time.AfterFunc(20*time.Millisecond, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.domains[0].memory = 64 << 10
		})
	})
	driver := d.driver()
	require.NoError(t, driver.SetMemory(t.Context(), spec.UUID, 64<<20))
	require.NoError(t, driver.SetVCPUs(t.Context(), spec.UUID, 2))
}

// A vCPU that waits for a CPU looks offline to libvirt: only time tells.
func TestWatch(t *testing.T) {
	info := func(state rpc.VCPUState, cpuTime uint64) rpc.VcpuInfo {
		return rpc.VcpuInfo{State: int32(state), CPUTime: cpuTime}
	}
	both := func(a, b rpc.VcpuInfo) []rpc.VcpuInfo {
		b.Number = 1
		return []rpc.VcpuInfo{a, b}
	}
	alive := info(rpc.VCPURunning, 1)

	grow := watch{wanted: 2}
	assert.False(t, grow.look(both(alive, info(rpc.VCPUOffline, 5))))
	assert.False(t, grow.look(both(alive, info(rpc.VCPUOffline, 5))))
	assert.True(t, grow.look(both(alive, info(rpc.VCPUOffline, 6))), "it used time")
	assert.True(t, grow.look(both(info(rpc.VCPUOffline, 1), info(rpc.VCPUOffline, 6))), "seen once is enough")

	shrink := watch{wanted: 1}
	for range quietLooks - 1 {
		assert.False(t, shrink.look(both(alive, info(rpc.VCPUOffline, 5))))
	}
	assert.False(t, shrink.look(both(alive, info(rpc.VCPUOffline, 6))), "it only waited")
	for range quietLooks - 1 {
		assert.False(t, shrink.look(both(alive, info(rpc.VCPUOffline, 6))))
	}
	assert.True(t, shrink.look(both(alive, info(rpc.VCPUOffline, 6))))
}

func TestCPUMaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cpus := rapid.IntRange(1, 100).Draw(t, "cpus")
		var set xen.CPUSet
		for cpu := range cpus {
			if rapid.Bool().Draw(t, "in") {
				set = append(set, cpu)
			}
		}
		if set == nil {
			set = xen.CPUSet{}
		}
		bits := cpuMap(set, cpus)
		require.Len(t, bits, (cpus+7)/8)
		got := cpuSet(bits, cpus)
		require.Equal(t, set.On(cpus), got.On(cpus))
		require.Equal(t, len(set) == cpus, got == nil)
	})
	got := vcpusOf([]rpc.VcpuInfo{
		{Number: 0, State: int32(rpc.VCPUOffline), CPUTime: 9778875266}, {Number: 1, State: int32(rpc.VCPUOffline)}, {Number: 2, State: int32(rpc.VCPUBlocked)},
	}, []byte{1, 3, 2}, 1, 1, 2)
	assert.Equal(t, []xen.VCPU{
		{Number: 0, Online: true, CPUTime: 9778875266, Hard: xen.CPUSet{0}}, {Number: 1}, {Number: 2, Online: true, Hard: xen.CPUSet{1}},
	}, got)
	assert.Len(t, vcpusOf(make([]rpc.VcpuInfo, 3), []byte{1}, 1, 1, 8), 3, "maps that are too short")
}
