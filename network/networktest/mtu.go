package networktest

import (
	"context"
	"fmt"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/network"
)

var _ network.Measurer = (*Fake)(nil)

// SetMTU is what an operator does with ip link set NAME mtu N; interfaces that
// nobody did it with have 1500.
func (f *Fake) SetMTU(name string, mtu int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mtu[name] = mtu
}

// MTU implements network.Measurer.
func (f *Fake) MTU(ctx context.Context, name string) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	done, err := f.begin(ctx, "mtu")
	if err == nil && f.bridges[name] == nil && !f.exists(name) {
		err = fmt.Errorf("interface %s: %w", name, fs.ErrNotExist)
	}
	if err == nil {
		err = done()
	}
	if err != nil {
		return 0, &network.Error{Op: "mtu", Name: name, Err: err}
	}
	if mtu := f.mtu[name]; mtu != 0 {
		return mtu, nil
	}
	return 1500, nil
}

func (s suite) mtu(t *testing.T) {
	m, ok := s.Manager.(network.Measurer)
	require.True(t, ok)
	mtu, err := m.MTU(t.Context(), s.Foreign.Name)
	require.NoError(t, err)
	assert.Equal(t, 1500, mtu)
	_, err = m.MTU(t.Context(), "nowhere0")
	require.ErrorIs(t, err, fs.ErrNotExist)
	for _, name := range []string{"", "-h", "a b", "../eth0", "0123456789abcdef"} {
		_, err = m.MTU(t.Context(), name)
		require.Error(t, err, name)
		var e *network.Error
		require.ErrorAs(t, err, &e)
	}
}
