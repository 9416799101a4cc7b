package lvm

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// As LVM 2.03.16 printed it, with the log and an unknown key of newer ones.
const volumesJSON = `{"report": [{"lv": [
  {"vg_name":"guests", "vg_size":"8585740288", "vg_free":"8438939648", "vg_extent_size":"4194304", "lv_name":"web1", "lv_size":"33554432", "origin_size":"33554432", "lv_layout":"linear", "lv_role":"public,origin,thickorigin", "origin":"", "pool_lv":"", "lv_tags":"xenhost.owner=curacao,a", "lv_active":"active", "lv_device_open":"open", "lv_skip_activation":"", "lv_snapshot_invalid":"unknown", "zero":"unknown", "new_in_2030":"x"},
  {"vg_name":"guests", "vg_size":"8585740288", "vg_free":"8438939648", "vg_extent_size":"4194304", "lv_name":"snap", "lv_size":"4194304", "origin_size":"33554432", "lv_layout":"linear", "lv_role":"public,snapshot,thicksnapshot", "origin":"web1", "pool_lv":"", "lv_tags":"", "lv_active":"active", "lv_device_open":"", "lv_skip_activation":"skip activation", "lv_snapshot_invalid":"snapshot invalid", "zero":"unknown"},
  {"vg_name":"guests", "vg_size":"8585740288", "vg_free":"8438939648", "vg_extent_size":"4194304", "lv_name":"pool", "lv_size":"67108864", "origin_size":"", "lv_layout":"thin,pool", "lv_role":"private", "origin":"", "pool_lv":"", "lv_tags":"", "lv_active":"active", "lv_device_open":"open", "lv_skip_activation":"", "lv_snapshot_invalid":"unknown", "zero":"zero"},
  {"vg_name":"guests", "vg_size":"8585740288", "vg_free":"8438939648", "vg_extent_size":"4194304", "lv_name":"db1", "lv_size":"8388608", "origin_size":"", "lv_layout":"thin,sparse", "lv_role":"public", "origin":"", "pool_lv":"pool", "lv_tags":"", "lv_active":"unknown", "lv_device_open":"unknown", "lv_skip_activation":"", "lv_snapshot_invalid":"unknown", "zero":"unknown"},
  {"vg_name":"guests", "vg_size":"8585740288", "vg_free":"8438939648", "vg_extent_size":"4194304", "lv_name":"old", "lv_size":"8388608", "origin_size":"", "lv_layout":"raid,raid1", "lv_role":"public", "origin":"", "pool_lv":"", "lv_tags":"", "lv_active":"", "lv_device_open":"", "lv_skip_activation":"", "lv_snapshot_invalid":"unknown", "zero":"unknown"}
]}], "log": [{"log_seq_num":"1"}]}`

func TestParseVolumes(t *testing.T) {
	group, entries, err := parseVolumes([]byte(volumesJSON))
	require.NoError(t, err)
	assert.Equal(t, Group{Name: "guests", Size: 8585740288, Free: 8438939648, Extent: 4 << 20}, group)
	id := func(name string) ID { return ID{Group: "guests", Name: name} }
	assert.Equal(t, []entry{
		{Volume: Volume{ID: id("db1"), Size: 8 << 20, Kind: Thin, Pool: "pool"}},
		{Volume: Volume{ID: id("old"), Size: 8 << 20, Kind: Other}},
		{Volume: Volume{ID: id("pool"), Size: 64 << 20, Kind: Pool, Active: true}, zeroes: true},
		{Volume: Volume{ID: id("snap"), Size: 32 << 20, Kind: Snapshot, Origin: "web1", Active: true, Skip: true}, invalid: true},
		{Volume: Volume{ID: id("web1"), Size: 32 << 20, Kind: Thick, Tags: []string{"a", "xenhost.owner=curacao"}, Active: true, Open: true}},
	}, entries)
}

func TestParseGroups(t *testing.T) {
	groups, err := parseGroups([]byte(`{"report":[{"vg":[
		{"vg_name":"tv", "vg_size":"532676608", "vg_free":"520093696", "vg_extent_size":"4194304"},
		{"vg_name":"ab", "vg_size":"4194304", "vg_free":"0", "vg_extent_size":"4194304"}]}]}`))
	require.NoError(t, err)
	assert.Equal(t, []Group{{"ab", 4 << 20, 0, 4 << 20}, {"tv", 532676608, 520093696, 4 << 20}}, groups)
}

// A volume in two pieces has two rows, since zero is a field of segments.
func TestParseSegments(t *testing.T) {
	row := `{"vg_name":"g","vg_size":"8","vg_free":"0","vg_extent_size":"1","lv_name":"NAME","lv_size":"4","lv_layout":"linear"}`
	web1, web2 := strings.ReplaceAll(row, "NAME", "web1"), strings.ReplaceAll(row, "NAME", "web2")
	_, entries, err := parseVolumes([]byte(`{"report":[{"lv":[` + strings.Join([]string{web2, web1, web1, web2}, ",") + `]}]}`))
	require.NoError(t, err)
	require.Len(t, entries, 2)
	assert.Equal(t, "web1", entries[0].Name)
	assert.Equal(t, "web2", entries[1].Name)
}

func TestParseRefuses(t *testing.T) {
	for name, data := range map[string]string{
		"not JSON":       `Volume group "nope" not found`,
		"size of words":  `{"report":[{"lv":[{"vg_name":"g","vg_size":"8","vg_free":"0","vg_extent_size":"1","lv_name":"a","lv_size":"1g"}]}]}`,
		"negative size":  `{"report":[{"lv":[{"vg_name":"g","vg_size":"8","vg_free":"0","vg_extent_size":"1","lv_name":"a","lv_size":"-1"}]}]}`,
		"hostile name":   `{"report":[{"lv":[{"vg_name":"g","vg_size":"8","vg_free":"0","vg_extent_size":"1","lv_name":"../a","lv_size":"1"}]}]}`,
		"no extent size": `{"report":[{"lv":[{"vg_name":"g","vg_size":"8","vg_free":"0","vg_extent_size":"0","lv_name":"a","lv_size":"1"}]}]}`,
	} {
		_, _, err := parseVolumes([]byte(data))
		assert.Error(t, err, name)
	}
	_, err := parseGroups([]byte(`{"report":[{"vg":[{"vg_name":"g","vg_size":"8","vg_free":"9","vg_extent_size":"1"}]}]}`))
	assert.Error(t, err, "more free than there is")
}

func FuzzParseVolumes(f *testing.F) {
	f.Add([]byte(volumesJSON))
	f.Add([]byte(`{"report":[{"lv":[]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		group, entries, err := parseVolumes(data)
		if err != nil {
			return
		}
		for _, e := range entries {
			assert.NoError(t, e.ID.Valid())
			assert.GreaterOrEqual(t, e.Size, int64(0))
			assert.Positive(t, group.Extent)
		}
	})
}
