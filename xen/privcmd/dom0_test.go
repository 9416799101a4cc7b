package privcmd

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/xl"
)

// TestDom0 compares what Xen says with what xl makes of it.
func TestDom0(t *testing.T) {
	tier.Require(t, tier.Dom0)
	h, err := Open()
	require.NoError(t, err)
	defer func() { require.NoError(t, h.Close()) }()
	for _, d := range fetchAll(t, h) {
		t.Logf("%+v", d)
	}
	fromXL, err := xl.New(dom0.Local{}, nil).List(context.Background())
	require.NoError(t, err)
	fromXen, err := h.List(t.Context())
	require.NoError(t, err)
	require.Len(t, fromXen, len(fromXL))
	for i, d := range fromXen {
		other := fromXL[i]
		assert.InDelta(t, other.CPUTime.Seconds(), d.CPUTime.Seconds(), 5)
		assert.Equal(t, other.Memory>>20, d.Memory>>20)
		d.CPUTime, other.CPUTime, d.Memory, other.Memory, other.Name = 0, 0, 0, 0, ""
		assert.Equal(t, other, d)
	}

	before := fetchAll(t, h)[0]
	require.Equal(t, uuid.Nil, before.UUID, "dom0")
	for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); {
	}
	after := fetchAll(t, h)[0]
	used := after.CPUTime - before.CPUTime
	assert.Positive(t, used, "dom0 works")
	assert.NotZero(t, used%(100*time.Millisecond), "finer than xl")
}

// fetchAll is List with dom0.
func fetchAll(t *testing.T, h *Hypervisor) (all []xen.Domain) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	list, n, err := h.fetch(0, perCall)
	require.NoError(t, err)
	for i := range n {
		all = append(all, parse(list[i*infoSize:(i+1)*infoSize]))
	}
	return all
}
