package lvm

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/xenhost/xenhost/xen/dom0"
)

// Fill is how full a thick snapshot's room or a thin pool is, in bytes.
type Fill struct {
	Used     int64 `json:"used"`                // of a snapshot with its table; of a pool data
	Size     int64 `json:"size"`                // what there is for that
	MetaUsed int64 `json:"meta_used,omitempty"` // of a pool
	MetaSize int64 `json:"meta_size,omitempty"` // of a pool
}

// Share is the part that is used, of data or metadata, whichever is fuller: 0
// to 1.
func (f Fill) Share() float64 {
	share := func(used, size int64) float64 { return float64(used) / float64(max(size, 1)) }
	return max(share(f.Used, f.Size), share(f.MetaUsed, f.MetaSize))
}

// Fill implements Gauge.
//
//	dmsetup status --noflush guests-web1--snap
func (c *Client) Fill(ctx context.Context, id ID) (Fill, error) {
	fill, err := c.fill(ctx, id)
	return fill, failed("fill", id.String(), err)
}

func (c *Client) fill(ctx context.Context, id ID) (Fill, error) {
	if err := id.Valid(); err != nil {
		return Fill{}, err
	}
	s, err := c.status(ctx, mapperName(id, ""))
	if err == nil && s.target != "linear" || ctx.Err() != nil {
		return s.fill, errors.Join(err, s.err)
	}
	// A pool with volumes is a layer below; its own node is linear, or off.
	if pool, below := c.status(ctx, mapperName(id, "-tpool")); below == nil {
		return pool.fill, pool.err
	}
	if err == nil {
		return Fill{}, s.err
	}
	switch e, why := c.entry(ctx, id); {
	case why != nil:
		return Fill{}, why
	case !e.Active:
		return Fill{}, ErrInactive
	}
	return Fill{}, err
}

// poolState is what a pool's device is called, and whether a copy of its
// metadata is set aside.
type poolState struct {
	device string
	held   bool
}

func (c *Client) poolState(ctx context.Context, pool ID) (poolState, error) {
	device := mapperName(pool, "-tpool")
	s, err := c.status(ctx, device)
	return poolState{device, s.held}, errors.Join(err, s.err)
}

func (c *Client) status(ctx context.Context, device string) (mapped, error) {
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	// Without --noflush a pool would write its metadata first.
	out, err := dom0.Output(ctx, c.runner, "dmsetup", "status", "--noflush", device)
	if err != nil {
		return mapped{}, err
	}
	return parseStatus(string(out))
}

// mapped is a line of dmsetup status.
type mapped struct {
	target string
	fill   Fill
	held   bool  // of a pool: a copy of its metadata is set aside
	err    error // why it has no fill, or is not to be used further
}

// parseStatus reads the first line that dmsetup status prints for a device:
//
//	0 131072 snapshot 2464/131072 24
//	0 131072 snapshot Invalid
//	0 16384 thin-pool 2 63/512 35/128 47 rw discard_passdown queue_if_no_space - 128
//	0 16384 thin-pool Fail
//	0 8192 linear
func parseStatus(out string) (mapped, error) {
	line, _, _ := strings.Cut(out, "\n")
	words := strings.Fields(line)
	if len(words) < 3 {
		return mapped{}, fmt.Errorf("dmsetup status: %q", line)
	}
	m := mapped{target: words[2]}
	bad := fmt.Errorf("dmsetup status: %q", line)
	length, err := strconv.ParseInt(words[1], 10, 64)
	if err != nil || length < 1 || length > 1<<53 {
		return mapped{}, bad
	}
	switch rest := words[3:]; m.target {
	case "snapshot":
		return m, m.snapshot(rest, bad)
	case "thin-pool":
		return m, m.pool(rest, length*sector, bad)
	default:
		m.err = unsupported("a device of target " + m.target + " has no room that could run full")
		return m, nil
	}
}

func (m *mapped) snapshot(words []string, bad error) error {
	switch state := strings.Join(words, " "); {
	case state == "Invalid", state == "Overflow":
		m.err = ErrSnapshotInvalid
		return nil
	case state == "Merge failed":
		m.err = fmt.Errorf("%w: a merge of it failed", ErrSnapshotInvalid)
		return nil
	case len(words) < 1:
		return bad
	}
	used, size, ok := pair(words[0])
	if !ok {
		return bad
	}
	m.fill = Fill{Used: used * sector, Size: size * sector}
	return nil
}

func (m *mapped) pool(words []string, bytes int64, bad error) error {
	const metaBlock = 4096
	if len(words) == 1 && (words[0] == "Fail" || words[0] == "Error") {
		m.err = fmt.Errorf("%w: its metadata failed: lvconvert --repair", ErrPoolFailed)
		return nil
	}
	if len(words) < 5 {
		return bad
	}
	metaUsed, metaSize, ok := pair(words[1])
	used, size, fits := pair(words[2])
	if !ok || !fits || metaSize > 1<<40 || size > bytes/sector {
		return bad
	}
	free := bytes / size * (size - used)
	m.fill = Fill{Used: bytes - free, Size: bytes, MetaUsed: metaUsed * metaBlock, MetaSize: metaSize * metaBlock}
	m.held = words[3] != "-"
	for _, word := range words[4:] {
		switch word {
		case "ro":
			m.err = fmt.Errorf("%w: it is read-only", ErrPoolFailed)
		case "needs_check":
			m.err = fmt.Errorf("%w: its metadata needs a check: deactivate it, lvconvert --repair", ErrPoolFailed)
		}
	}
	return nil
}

// pair parses "63/512".
func pair(text string) (used, size int64, ok bool) {
	a, b, _ := strings.Cut(text, "/")
	used, err := strconv.ParseInt(a, 10, 64)
	size, failure := strconv.ParseInt(b, 10, 64)
	return used, size, err == nil && failure == nil && used >= 0 && size > 0 && used <= size && size <= 1<<53
}
