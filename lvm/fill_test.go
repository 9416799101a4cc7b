package lvm

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Lines of a 6.1 kernel, but for the failed pools, which are as its sources
// print them.
func TestParseStatus(t *testing.T) {
	for line, want := range map[string]Fill{
		"0 131072 snapshot 48/131072 16\n": {Used: 24 << 10, Size: 64 << 20},
		"0 12288 snapshot 4128/6144 32":    {Used: 4128 * 512, Size: 3 << 20},
		"0 16384 thin-pool 2 63/512 35/128 47 rw discard_passdown queue_if_no_space - 128 \n": {
			Used: 35 << 16, Size: 8 << 20, MetaUsed: 63 << 12, MetaSize: 2 << 20},
		"0 16384 thin-pool 4 62/512 128/128 - out_of_data_space discard_passdown queue_if_no_space - 128 ": {
			Used: 8 << 20, Size: 8 << 20, MetaUsed: 62 << 12, MetaSize: 2 << 20},
		// Blocks of 192 KiB do not divide a pool of 8 MiB.
		"0 16384 thin-pool 4 62/512 42/42 - rw discard_passdown queue_if_no_space - 128 ": {
			Used: 8 << 20, Size: 8 << 20, MetaUsed: 62 << 12, MetaSize: 2 << 20},
	} {
		m, err := parseStatus(line)
		require.NoError(t, err, line)
		require.NoError(t, m.err, line)
		assert.Equal(t, want, m.fill, line)
	}
	for line, want := range map[string]error{
		"0 131072 snapshot Invalid\n":    ErrSnapshotInvalid,
		"0 131072 snapshot Overflow":     ErrSnapshotInvalid,
		"0 131072 snapshot Merge failed": ErrSnapshotInvalid,
		"0 16384 thin-pool Fail":         ErrPoolFailed,
		"0 16384 thin-pool Error":        ErrPoolFailed,
		"0 16384 thin-pool 4 62/512 42/128 - ro discard_passdown queue_if_no_space - 128 ":           ErrPoolFailed,
		"0 16384 thin-pool 4 62/512 42/128 - rw discard_passdown queue_if_no_space needs_check 128 ": ErrPoolFailed,
		"0 12288 thin 3840 4095":             errors.ErrUnsupported,
		"0 12288 snapshot-origin ":           errors.ErrUnsupported,
		"0 8192 linear \n8192 4096 linear\n": errors.ErrUnsupported,
	} {
		m, err := parseStatus(line)
		require.NoError(t, err, line)
		assert.ErrorIs(t, m.err, want, line)
	}
	held, err := parseStatus("0 16384 thin-pool 2 63/512 35/128 47 rw discard_passdown queue_if_no_space - 128")
	require.NoError(t, err)
	assert.True(t, held.held)
	free, err := parseStatus("0 16384 thin-pool 2 63/512 35/128 - rw discard_passdown queue_if_no_space - 128")
	require.NoError(t, err)
	assert.False(t, free.held)
}

func TestParseStatusRefuses(t *testing.T) {
	for _, line := range []string{
		"", "\n", "0 12", "0 x snapshot 1/2 3", "0 -1 linear", "0 12288 snapshot", "0 12288 snapshot 7",
		"0 12288 snapshot 9/8 0", "0 12288 snapshot -1/8 0", "0 12288 snapshot 0/0 0", "0 12288 snapshot 1/99999999999999999999 0",
		"0 16384 thin-pool 2 63/512 35/128", "0 16384 thin-pool 2 63/512 35 - rw", "0 16384 thin-pool 2 63/512 35/99999 - rw",
		"0 16384 thin-pool 2 63/99999999999999 35/128 - rw",
	} {
		m, err := parseStatus(line)
		assert.Error(t, err, "%q is %+v", line, m)
	}
}

func FuzzParseStatus(f *testing.F) {
	f.Add("0 12288 snapshot 4128/6144 32")
	f.Add("0 16384 thin-pool 2 63/512 35/128 47 rw discard_passdown queue_if_no_space - 128 ")
	f.Add("0 131072 snapshot Merge failed")
	f.Fuzz(func(t *testing.T, line string) {
		m, err := parseStatus(line)
		if err != nil || m.err != nil {
			return
		}
		assert.GreaterOrEqual(t, m.fill.Used, int64(0))
		assert.GreaterOrEqual(t, m.fill.MetaUsed, int64(0))
		share := m.fill.Share()
		assert.True(t, share >= 0 && share <= 1, "%v of %+v", share, m.fill)
	})
}
