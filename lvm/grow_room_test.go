package lvm_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/xen/dom0"
)

// rooms answers as lvm and dmsetup do of a group with a snapshot and a pool, of
// which either may miss that lvextend was run.
type rooms struct {
	kernel, written int64 // MiB of each
	kernelNotices   bool
	diskNotices     bool
	extends         []string
}

func (r *rooms) Run(_ context.Context, cmd dom0.Cmd) error {
	last := cmd.Args[len(cmd.Args)-1]
	var out string
	switch {
	case cmd.Args[0] == "dmsetup" && strings.HasSuffix(last, "-tpool"):
		out = fmt.Sprintf("0 16384 thin-pool 2 63/%d 35/128 - rw discard_passdown queue_if_no_space - 128\n", r.kernel*256)
	case cmd.Args[0] == "dmsetup" && strings.HasSuffix(last, "-pool"):
		out = "0 16384 linear\n"
	case cmd.Args[0] == "dmsetup":
		out = fmt.Sprintf("0 32768 snapshot 2464/%d 24\n", r.kernel*2048)
	case slices.Contains(cmd.Args, "lvextend"):
		r.extends = append(r.extends, strings.Join(cmd.Args[2:], " "))
		if r.kernelNotices {
			r.kernel = 4
		}
		if r.diskNotices {
			r.written = 4
		}
	case slices.Contains(cmd.Args, "lv_size") || slices.Contains(cmd.Args, "lv_metadata_size"):
		out = fmt.Sprintf(`{"report":[{"lv":[{"lv_size":"%d","lv_metadata_size":"%[1]d"}]}]}`, r.written<<20)
	default:
		row := `{"vg_name":"guests","vg_size":"67108864","vg_free":"16777216","vg_extent_size":"1048576","lv_active":"active","lv_name":`
		out = `{"report":[{"lv":[` +
			row + `"web1","lv_size":"16777216","lv_layout":"linear","lv_role":"public,origin,thickorigin"},` +
			row + `"web1-snap","lv_size":"2097152","origin_size":"16777216","lv_layout":"linear","lv_role":"public,snapshot,thicksnapshot","origin":"web1"},` +
			row + `"pool","lv_size":"8388608","lv_layout":"thin,pool","lv_role":"private","zero":"zero"}]}]}`
	}
	if cmd.Stdout != nil {
		_, err := io.WriteString(cmd.Stdout, out)
		return err
	}
	return nil
}

// Room is there when both the kernel and LVM's metadata have it.
func TestGrowRoomIsSeen(t *testing.T) {
	for name, command := range map[string]string{
		"web1-snap": "-y -l 4 guests/web1-snap",
		"pool":      "-y --poolmetadatasize +2097152b guests/pool",
	} {
		id := lvm.ID{Group: "guests", Name: name}
		for _, c := range []struct{ kernel, disk bool }{{true, true}, {true, false}, {false, true}, {false, false}} {
			r := &rooms{kernel: 2, written: 2, kernelNotices: c.kernel, diskNotices: c.disk}
			_, err := lvm.New(r, nil).GrowRoom(t.Context(), id, 4<<20)
			require.Equal(t, []string{command}, r.extends)
			if c.kernel && c.disk {
				assert.NoError(t, err)
				continue
			}
			assert.EqualError(t, err, "lvm: grow room guests/"+name+": it has room of 2097152 bytes and not 4194304, though LVM reported success")
		}
		// What only one of them has is made up for.
		r := &rooms{kernel: 4, written: 2, kernelNotices: true, diskNotices: true}
		_, err := lvm.New(r, nil).GrowRoom(t.Context(), id, 4<<20)
		assert.NoError(t, err)
		assert.Equal(t, []string{command}, r.extends)
	}
}
