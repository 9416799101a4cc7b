package xentest_test

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/xentest"
)

func TestLoseMonitor(t *testing.T) {
	host, spec, ctx := xentest.New(&xentest.Options{AnyDisk: true}), guest("web1"), t.Context()
	require.ErrorIs(t, host.LoseMonitor(spec.UUID), fs.ErrNotExist)
	for what, tc := range map[string]struct {
		happens func() error
		state   xen.State
		reason  xen.Reason
	}{
		"poweroff": {func() error { return host.GuestPoweroff(spec.UUID) }, xen.Stopped, xen.Poweroff},
		"reboot":   {func() error { return host.GuestReboot(spec.UUID) }, xen.Stopped, xen.Reboot},
		"crash":    {func() error { return host.GuestCrash(spec.UUID) }, xen.Crashed, xen.Crash},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := host.Create(ctx, spec, nil)
			require.NoError(t, err)
			require.NoError(t, host.LoseMonitor(spec.UUID))
			require.NoError(t, tc.happens())
			d, err := host.Lookup(ctx, spec.UUID)
			require.NoError(t, err)
			assert.Equal(t, tc.state, d.State)
			assert.Equal(t, tc.reason, d.Reason)
			require.NoError(t, host.Destroy(ctx, spec.UUID))

			again, err := host.Create(ctx, spec, nil)
			require.NoError(t, err)
			require.NoError(t, host.GuestReboot(spec.UUID))
			d, err = host.Lookup(ctx, spec.UUID)
			require.NoError(t, err)
			assert.Equal(t, again.ID+1, d.ID, "the next domain has one again")
			require.NoError(t, host.Destroy(ctx, spec.UUID))
		})
	}
}
