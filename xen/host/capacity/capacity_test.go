package capacity_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host/capacity"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

func machine(name string, memory, room int64) capacity.Host {
	return capacity.Host{
		Name: name, Memory: memory,
		Groups:  []lvm.Group{{Name: "guests", Size: 100 * gib, Free: room, Extent: 4 * mib}},
		Volumes: map[string][]lvm.Volume{"guests": {{ID: lvm.ID{Group: "guests", Name: "pool"}, Kind: lvm.Pool, Size: 10 * gib}}},
	}
}

func need(memory, size int64) capacity.Need {
	return capacity.Need{Memory: memory, Volumes: []capacity.Volume{{ID: lvm.ID{Group: "guests"}, Size: size}}}
}

func TestSell(t *testing.T) {
	h := machine("curacao", 2*gib, 20*gib)
	h.Headroom = capacity.Headroom{Dom0: 256 * mib, Move: 512 * mib, Volumes: 4 * gib}
	sold, err := h.Sell(need(gib, 10*gib))
	require.NoError(t, err)
	assert.EqualValues(t, gib, sold.Memory)
	assert.EqualValues(t, 10*gib, sold.Groups[0].Free)
	assert.EqualValues(t, 20*gib, h.Groups[0].Free, "the picture before stays as it was")

	_, err = sold.Sell(need(512*mib, gib))
	require.ErrorIs(t, err, xen.ErrNoMemory)
	assert.EqualError(t, err, "not enough free memory on curacao (1024 MiB, of which 768 stay free; needs 512)")
	moved, err := sold.Receive(need(512*mib, gib))
	require.NoError(t, err, "that is what the headroom is for")
	_, err = moved.Receive(need(512*mib, gib))
	require.ErrorIs(t, err, xen.ErrNoMemory, "dom0's part is not")

	_, err = sold.Sell(need(mib, 6*gib+1))
	require.ErrorIs(t, err, lvm.ErrNoSpace)
	_, err = sold.Receive(need(mib, 10*gib))
	require.NoError(t, err)
	_, err = sold.Receive(need(mib, 10*gib+1))
	require.ErrorIs(t, err, lvm.ErrNoSpace)
	_, err = sold.Sell(capacity.Need{Volumes: []capacity.Volume{{ID: lvm.ID{Group: "else", Name: "a"}, Size: 1}}})
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// A volume that is there needs what it grows by; a thin one is a promise of its
// pool.
func TestVolumes(t *testing.T) {
	h := machine("curacao", gib, 4*gib)
	web := lvm.ID{Group: "guests", Name: "web"}
	h, err := h.Sell(capacity.Need{Volumes: []capacity.Volume{{ID: web, Size: 3 * gib}}})
	require.NoError(t, err)
	same, err := h.Sell(capacity.Need{Volumes: []capacity.Volume{{ID: web, Size: 2 * gib}}})
	require.NoError(t, err)
	assert.Equal(t, h.Groups, same.Groups)
	more, err := h.Sell(capacity.Need{Volumes: []capacity.Volume{{ID: web, Size: 4 * gib}}})
	require.NoError(t, err)
	assert.Zero(t, more.Groups[0].Free)
	_, err = h.Sell(capacity.Need{Volumes: []capacity.Volume{{ID: web, Size: 4*gib + 1}}})
	require.ErrorIs(t, err, lvm.ErrNoSpace)

	thin := func(size int64) capacity.Need {
		return capacity.Need{Volumes: []capacity.Volume{{ID: lvm.ID{Group: "guests"}, Size: size, Pool: "pool"}}}
	}
	h, err = h.Sell(thin(6 * gib))
	require.NoError(t, err)
	assert.EqualValues(t, gib, h.Groups[0].Free, "the pool has it")
	_, err = h.Sell(thin(6 * gib))
	require.ErrorIs(t, err, lvm.ErrNoSpace)
	_, err = h.Sell(thin(4 * gib))
	require.NoError(t, err)
	assert.Negative(t, h.Promise(capacity.Need{Memory: 2 * gib}).Memory)
}

func TestFit(t *testing.T) {
	hosts := []capacity.Host{machine("curacao", 3*gib, 8*gib), machine("islay", 4*gib, 100*gib)}
	assert.Equal(t, []string{"islay", "curacao", "islay"}, capacity.Fit(hosts, need(gib, gib), 3))
	assert.Len(t, capacity.Fit(hosts, need(gib, gib), 10), 5, "2 and 3, since dom0's headroom makes the last of each too large")
	assert.Equal(t, []string{"curacao", "islay", "islay"}, capacity.Fit([]capacity.Host{hosts[1], machine("curacao", 9*gib, 8*gib)}, need(gib, 8*gib), 3))
	assert.Empty(t, capacity.Fit(hosts, need(5*gib, gib), 1))
	assert.EqualValues(t, 3*gib, hosts[0].Memory)
}

func TestSurvive(t *testing.T) {
	guest := func(name string, memory int64) capacity.Guest {
		n := need(memory, gib)
		n.Volumes[0].Name = name
		return capacity.Guest{UUID: uuid.New(), Name: name, Need: n}
	}
	curacao, islay := machine("curacao", gib, 10*gib), machine("islay", 2*gib, 1*gib)
	curacao.Guests = []capacity.Guest{guest("a", gib), guest("b", 512*mib)}
	islay.Guests = []capacity.Guest{guest("c", gib-64*mib)}
	short := capacity.Survive([]capacity.Host{curacao, islay})
	require.Len(t, short, 1, "islay's guest has its place")
	assert.Equal(t, "curacao", short[0].Host)
	require.Len(t, short[0].Guests, 1)
	assert.Equal(t, "b", short[0].Guests[0].Name, "a took the last room of islay's volume group")

	replica := lvm.Volume{ID: lvm.ID{Group: "guests", Name: "b"}, Kind: lvm.Thick, Size: gib}
	islay.Volumes["guests"] = append(islay.Volumes["guests"], replica)
	assert.Empty(t, capacity.Survive([]capacity.Host{curacao, islay}))
	islay.Memory -= gib
	assert.Len(t, capacity.Survive([]capacity.Host{curacao, islay})[0].Guests, 1)
	assert.Len(t, capacity.Survive([]capacity.Host{curacao}), 1, "alone nothing survives")
}

func TestClaims(t *testing.T) {
	claims := capacity.NewClaims(filepath.Join(t.TempDir(), "claims"))
	desk, err := claims.Lock(t.Context())
	require.NoError(t, err)
	defer desk.Unlock()
	claim := capacity.Claim{UUID: uuid.New(), Name: "web1", Op: "provision", Need: need(gib, gib)}
	held, err := desk.Make(claim)
	require.NoError(t, err)
	second, err := desk.Make(claim)
	require.NoError(t, err)
	live, err := desk.Live()
	require.NoError(t, err)
	assert.Equal(t, []capacity.Claim{claim, claim}, live)
	held.Release()
	held.Release()
	second.Release()
	live, err = desk.Live()
	require.NoError(t, err)
	assert.Empty(t, live)
}

// A claim ends with its process, and its file with the next look.
func TestClaimDiesWithItsProcess(t *testing.T) {
	if dir := os.Getenv("CLAIM_IN"); dir != "" {
		desk, err := capacity.NewClaims(dir).Lock(t.Context())
		require.NoError(t, err)
		_, err = desk.Make(capacity.Claim{UUID: uuid.New(), Need: need(gib, gib)})
		require.NoError(t, err)
		desk.Unlock()
		fmt.Println("held")
		select {}
	}
	dir := filepath.Join(t.TempDir(), "claims")
	child := exec.Command(os.Args[0], "-test.run=^TestClaimDiesWithItsProcess$")
	child.Env = append(os.Environ(), "CLAIM_IN="+dir)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	_, err = out.Read(make([]byte, 4))
	require.NoError(t, err)
	look := func() []capacity.Claim {
		desk, err := capacity.NewClaims(dir).Lock(t.Context())
		require.NoError(t, err)
		defer desk.Unlock()
		live, err := desk.Live()
		require.NoError(t, err)
		return live
	}
	require.Len(t, look(), 1)
	require.NoError(t, child.Process.Kill())
	_ = child.Wait()
	require.Empty(t, look())
	left, err := filepath.Glob(filepath.Join(dir, "*.claim"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

func ExampleFit() {
	group := []lvm.Group{{Name: "guests", Size: 100 << 30, Free: 100 << 30, Extent: 4 << 20}}
	hosts := []capacity.Host{ // on a dom0: h.Capacity(ctx) of each
		{Name: "curacao", Memory: 5 << 30, Groups: group},
		{Name: "islay", Memory: 8 << 30, Groups: group, Headroom: capacity.Headroom{Move: 2 << 30}},
	}
	large := capacity.Need{Memory: 2 << 30, Volumes: []capacity.Volume{{ID: lvm.ID{Group: "guests"}, Size: 40 << 30}}}
	fmt.Println(capacity.Fit(hosts, large, 3))
	fmt.Println(len(capacity.Fit(hosts, large, 10)))
	// Output:
	// [islay curacao islay]
	// 4
}
