package lvm

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen/dom0"
)

// kernel is a host with one pool, as the commands show it.
type kernel struct {
	mu      sync.Mutex
	held    bool
	delta   func(ctx context.Context) error // what happens while thin_delta reads
	reserve error                           // what the next reserve says after its work
	faster  bool                            // another one reserves just before
}

func (k *kernel) Run(ctx context.Context, cmd dom0.Cmd) error {
	line := strings.Join(cmd.Args, " ")
	refuse := &dom0.Error{Args: cmd.Args, ExitCode: 1, Stderr: "Device or resource busy"}
	k.mu.Lock()
	defer k.mu.Unlock()
	say := func(text string) error { _, err := fmt.Fprint(cmd.Stdout, text); return err }
	switch {
	case ctx.Err() != nil:
		return &dom0.Error{Args: cmd.Args, ExitCode: -1, Err: ctx.Err()}
	case strings.HasPrefix(line, "lvm lvs"):
		row := `{"vg_name":"g","vg_size":"9","vg_free":"1","vg_extent_size":"1","lv_name":"web1%s","lv_size":"4194304","lv_layout":"thin,sparse",` +
			`"origin":"%s","pool_lv":"pool","lv_active":"active","thin_id":"%d"}`
		return say(`{"report":[{"lv":[` + fmt.Sprintf(row, "", "", 1) + "," + fmt.Sprintf(row, "-snap", "web1", 2) + `]}]}`)
	case line == "dmsetup status --noflush g-pool-tpool":
		held := "-"
		if k.held {
			held = "47"
		}
		return say("0 16384 thin-pool 2 63/512 35/128 " + held + " rw discard_passdown queue_if_no_space - 128 \n")
	case line == "dmsetup message g-pool-tpool 0 reserve_metadata_snap":
		if k.held || k.faster {
			k.held = true
			return refuse
		}
		k.held = true
		return k.reserve
	case line == "dmsetup message g-pool-tpool 0 release_metadata_snap":
		if !k.held {
			return refuse
		}
		k.held = false
		return nil
	case line == "thin_delta -V":
		return say("0.9.0\n")
	case line == "thin_delta -m --thin1 2 --thin2 1 /dev/mapper/g-pool_tmeta":
		if !k.held {
			return refuse
		}
		if k.delta != nil {
			k.mu.Unlock()
			err := k.delta(ctx)
			k.mu.Lock()
			if err != nil {
				return err
			}
		}
		return say(deltaPlain)
	}
	return fmt.Errorf("unexpected: %s", line)
}

// reader is a Client of that host, and the file of its note.
func reader(t testing.TB, k *kernel) (*Client, string) {
	dir := filepath.Join(t.TempDir(), "state")
	return New(k, &Options{StateDir: dir}), filepath.Join(dir, "g-pool.metadata")
}

func (k *kernel) assertFree(t testing.TB, note string) {
	t.Helper()
	assert.False(t, k.held, "the kernel keeps a copy of the metadata")
	info, err := os.Stat(note)
	require.NoError(t, err)
	assert.Zero(t, info.Size(), "the note says that one is ours")
}

func TestMetadataIsReleased(t *testing.T) {
	snap := ID{Group: "g", Name: "web1-snap"}
	broken := &dom0.Error{Args: []string{"thin_delta"}, ExitCode: 1, Stderr: "metadata damaged"}
	for name, delta := range map[string]func(context.Context) error{
		"read": nil, "failed": func(context.Context) error { return broken },
	} {
		k := &kernel{delta: delta}
		c, note := reader(t, k)
		extents, err := c.Changed(t.Context(), snap)
		if delta == nil {
			require.NoError(t, err, name)
			assert.Len(t, extents, 3)
		} else {
			require.ErrorIs(t, err, broken)
			assert.EqualError(t, err, "lvm: changed g/web1-snap: thin_delta: exit 1: metadata damaged")
		}
		k.assertFree(t, note)
	}

	ctx, cancel := context.WithCancel(t.Context())
	k := &kernel{delta: func(ctx context.Context) error { cancel(); <-ctx.Done(); return ctx.Err() }}
	c, note := reader(t, k)
	_, err := c.Changed(ctx, snap)
	require.ErrorIs(t, err, context.Canceled)
	k.assertFree(t, note)

	k = &kernel{reserve: &dom0.Error{ExitCode: -1, Err: context.DeadlineExceeded}} // it did its work, and nobody heard
	c, note = reader(t, k)
	_, err = c.Changed(t.Context(), snap)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	k.assertFree(t, note)
}

// What a killed one left is released; what is somebody else's stays.
func TestMetadataOfTheKilled(t *testing.T) {
	snap := ID{Group: "g", Name: "web1-snap"}
	for _, held := range []bool{true, false} {
		k := &kernel{held: held}
		c, note := reader(t, k)
		require.NoError(t, os.MkdirAll(filepath.Dir(note), 0o700))
		require.NoError(t, os.WriteFile(note, []byte{0}, 0o600))
		_, err := c.Changed(t.Context(), snap)
		require.NoError(t, err)
		k.assertFree(t, note)
	}
	k := &kernel{held: true}
	c, note := reader(t, k)
	for range 2 {
		_, err := c.Changed(t.Context(), snap)
		require.ErrorIs(t, err, ErrBusy)
		assert.ErrorContains(t, err, "dmsetup message g-pool-tpool 0 release_metadata_snap")
		assert.True(t, k.held)
	}
	k.held = false
	_, err := c.Changed(t.Context(), snap)
	require.NoError(t, err)
	k.assertFree(t, note)
}

// Another one reserves between our look and our turn. If it was the last command
// of one that was killed, it is ours to release next time.
func TestMetadataOthersAreFaster(t *testing.T) {
	snap := ID{Group: "g", Name: "web1-snap"}
	for _, killed := range []bool{true, false} {
		k := &kernel{faster: true}
		c, note := reader(t, k)
		require.NoError(t, os.MkdirAll(filepath.Dir(note), 0o700))
		if killed {
			require.NoError(t, os.WriteFile(note, []byte{0}, 0o600))
		}
		_, err := c.Changed(t.Context(), snap)
		require.ErrorIs(t, err, ErrBusy)
		k.faster = false
		_, err = c.Changed(t.Context(), snap)
		if killed {
			require.NoError(t, err)
			k.assertFree(t, note)
		} else {
			require.ErrorIs(t, err, ErrBusy)
			assert.True(t, k.held)
		}
	}
}

func TestMetadataOneAtATime(t *testing.T) {
	snap := ID{Group: "g", Name: "web1-snap"}
	var k *kernel
	inside := 0
	k = &kernel{delta: func(context.Context) error {
		k.mu.Lock()
		inside++
		assert.Equal(t, 1, inside)
		k.mu.Unlock()
		time.Sleep(5 * time.Millisecond)
		k.mu.Lock()
		inside--
		k.mu.Unlock()
		return nil
	}}
	first, note := reader(t, k)
	second := New(k, &Options{StateDir: filepath.Dir(note)})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			_, err := []*Client{first, second}[i%2].Changed(t.Context(), snap)
			assert.NoError(t, err)
		})
	}
	all.Wait()
	k.assertFree(t, note)

	// One that waits does so no longer than its context.
	k.delta = func(context.Context) error {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		_, err := second.Changed(ctx, snap)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		return nil
	}
	_, err := first.Changed(t.Context(), snap)
	require.NoError(t, err)
	k.assertFree(t, note)
}

func TestParseRanges(t *testing.T) {
	ranges, err := parseRanges([]byte(`{"report":[{"seg":[{"seg_pe_ranges":"/dev/loop0:0-3"},{"seg_pe_ranges":"/dev/sda1:7-7 /dev/sdb:20-21"}]}],"log":[]}`))
	require.NoError(t, err)
	assert.Equal(t, []string{"/dev/loop0:0-3", "/dev/sda1:7-7", "/dev/sdb:20-21"}, ranges)
	for _, bad := range []string{``, `{}`, `{"report":[{"seg":[]}]}`, `{"report":[{"seg":[{"seg_pe_ranges":"unknown device:0-3"}]}]}`, `{"report":[{"seg":[{"seg_pe_ranges":"--yes"}]}]}`} {
		_, err := parseRanges([]byte(bad))
		assert.Error(t, err, bad)
	}
}
