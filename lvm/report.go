package lvm

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// What is asked for, and all that is. Every value comes as a string, empty or
// "unknown" where it has no meaning; newer LVMs add keys that are ignored here.
const (
	groupFields  = "vg_name,vg_size,vg_free,vg_extent_size"
	volumeFields = groupFields + ",lv_name,lv_size,origin_size,lv_layout,lv_role,origin,pool_lv,lv_tags," +
		"lv_active,lv_device_open,lv_skip_activation,lv_snapshot_invalid,lv_attr,zero,thin_id"
)

type report struct {
	Report []struct {
		Groups  []groupRow  `json:"vg"`
		Volumes []volumeRow `json:"lv"`
	} `json:"report"`
}

type groupRow struct {
	Name   string `json:"vg_name"`
	Size   string `json:"vg_size"`
	Free   string `json:"vg_free"`
	Extent string `json:"vg_extent_size"`
}

type volumeRow struct {
	groupRow
	Name       string `json:"lv_name"`
	Size       string `json:"lv_size"`
	OriginSize string `json:"origin_size"`
	Layout     string `json:"lv_layout"`
	Role       string `json:"lv_role"`
	Origin     string `json:"origin"`
	Pool       string `json:"pool_lv"`
	Tags       string `json:"lv_tags"`
	Active     string `json:"lv_active"`
	Open       string `json:"lv_device_open"`
	Skip       string `json:"lv_skip_activation"`
	Invalid    string `json:"lv_snapshot_invalid"`
	Attr       string `json:"lv_attr"`
	Zero       string `json:"zero"`
	ThinID     string `json:"thin_id"`
}

// entry is a Volume and what else the Client needs to know of it.
type entry struct {
	Volume
	invalid bool   // a thick snapshot that overflowed
	zeroes  bool   // a pool that zeroes its blocks before they are handed out
	merging bool   // an origin that waits for a snapshot to be merged into it
	thinID  string // what a thin volume's pool calls it; "" of any other
}

func parseGroups(data []byte) ([]Group, error) {
	var r report
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("report of groups: %w", err)
	}
	var all []Group
	for _, part := range r.Report {
		for _, row := range part.Groups {
			g, err := row.group()
			if err != nil {
				return nil, err
			}
			all = append(all, g)
		}
	}
	slices.SortFunc(all, func(a, b Group) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

func (row groupRow) group() (Group, error) {
	g := Group{Name: row.Name}
	if err := parseSizes(row.Name, map[*int64]string{&g.Size: row.Size, &g.Free: row.Free, &g.Extent: row.Extent}); err != nil {
		return Group{}, err
	}
	if g.Name == "" || g.Extent < 1 || g.Free > g.Size {
		return Group{}, fmt.Errorf("report of groups: %q has %d bytes, %d free, in extents of %d", g.Name, g.Size, g.Free, g.Extent)
	}
	return g, nil
}

// parseVolumes returns the volumes of one group, and the group as their rows
// tell it: the zero Group if there are none.
func parseVolumes(data []byte) (Group, []entry, error) {
	var r report
	if err := json.Unmarshal(data, &r); err != nil {
		return Group{}, nil, fmt.Errorf("report of volumes: %w", err)
	}
	var group Group
	var all []entry
	for _, part := range r.Report {
		for _, row := range part.Volumes {
			var err error
			if group, err = row.group(); err != nil {
				return Group{}, nil, err
			}
			e, err := row.entry()
			if err != nil {
				return Group{}, nil, err
			}
			all = append(all, e)
		}
	}
	byName := func(a, b entry) int { return strings.Compare(a.Name, b.Name) }
	slices.SortStableFunc(all, byName)
	// The pool's fields are of segments, so there is a row for each segment.
	all = slices.CompactFunc(all, func(a, b entry) bool { return byName(a, b) == 0 })
	return group, all, nil
}

func (row volumeRow) entry() (entry, error) {
	id := ID{Group: row.groupRow.Name, Name: row.Name}
	if err := id.Valid(); err != nil {
		return entry{}, fmt.Errorf("report of volumes: %w", err)
	}
	e := entry{
		Volume: Volume{
			ID: id, Kind: row.kind(), Origin: row.Origin, Pool: row.Pool,
			Active: row.Active == "active", Open: row.Open == "open", Skip: row.Skip == "skip activation",
		},
		invalid: row.Invalid == "snapshot invalid",
		zeroes:  row.Zero == "zero",
		merging: strings.HasPrefix(row.Attr, "O"),
		thinID:  row.ThinID,
	}
	if e.Kind == Pool { // LVM has it open itself once it has had a volume
		e.Open = false
	}
	if row.Tags != "" {
		e.Tags = strings.Split(row.Tags, ",")
		slices.Sort(e.Tags)
	}
	size := row.Size
	if e.Kind == Snapshot { // lv_size is its room; it reads as large as its origin
		size = row.OriginSize
	}
	return e, parseSizes(id.String(), map[*int64]string{&e.Size: size})
}

func (row volumeRow) kind() Kind {
	layout, role := strings.Split(row.Layout, ","), strings.Split(row.Role, ",")
	has := func(words []string, word string) bool { return slices.Contains(words, word) }
	switch {
	case has(role, "thicksnapshot"):
		return Snapshot
	case has(layout, "thin") && has(layout, "pool"):
		return Pool
	case has(layout, "thin"):
		return Thin
	case row.Layout == "linear" || row.Layout == "striped":
		return Thick
	}
	return Other
}

func parseSizes(name string, sizes map[*int64]string) error {
	for to, text := range sizes {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("report: size %q of %s", text, name)
		}
		*to = n
	}
	return nil
}
