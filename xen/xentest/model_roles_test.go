package xentest_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/xenhost/xenhost/xen"
)

// attach gives a guest one of three more disks, or takes one away; the first
// disks of the guests are disk0 to disk2.
func (m *model) attach(t *rapid.T) {
	id, n := m.draw(t).UUID, rapid.IntRange(0, 2).Draw(t, "disk")
	disk := xen.Disk{Dev: "xvd" + string(rune('b'+n)), Path: fmt.Sprintf("/disk%d", rapid.IntRange(0, 5).Draw(t, "path"))}
	before := m.more[id]
	held := -1 // of which guest the path is
	for i, s := range m.specs {
		if _, runs := m.runs[s.UUID]; runs && (s.Disks[0].Path == disk.Path || slices.ContainsFunc(m.more[s.UUID], func(d xen.Disk) bool { return d.Path == disk.Path })) {
			held = i
		}
	}
	taken := slices.ContainsFunc(before, func(d xen.Disk) bool { return d.Dev == disk.Dev })
	err := m.host.AttachDisk(context.Background(), id, disk)
	switch _, runs := m.runs[id]; {
	case !runs:
		require.ErrorIs(t, err, fs.ErrNotExist)
	case taken:
		require.Error(t, err) // its place or its path
	case held >= 0:
		require.ErrorIs(t, err, xen.ErrBusy)
	default:
		require.NoError(t, err)
		m.more[id] = append(slices.Clone(before), disk)
	}
}

func (m *model) detach(t *rapid.T) {
	id, dev := m.draw(t).UUID, rapid.SampledFrom([]string{"xvdb", "xvdc", "xvdd"}).Draw(t, "dev")
	at := slices.IndexFunc(m.more[id], func(d xen.Disk) bool { return d.Dev == dev })
	err := m.host.DetachDisk(context.Background(), id, dev)
	if at < 0 {
		require.ErrorIs(t, err, fs.ErrNotExist)
		return
	}
	require.NoError(t, err)
	m.more[id] = slices.Delete(slices.Clone(m.more[id]), at, at+1)
}

// carry saves a guest and restores it, from its configuration.
func (m *model) carry(t *rapid.T) {
	id := m.draw(t).UUID
	spec, err := m.host.Config(context.Background(), id)
	if !m.expect(t, id, err) {
		return
	}
	var image bytes.Buffer
	if err = m.host.Save(context.Background(), id, &image, nil); m.runs[id].State == xen.Paused {
		require.ErrorIs(t, err, xen.ErrBusy)
		return
	}
	require.NoError(t, err)
	_, err = m.host.Restore(context.Background(), spec, bytes.NewReader(image.Bytes()[:image.Len()-1]), nil)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	d, err := m.host.Restore(context.Background(), spec, &image, nil)
	require.NoError(t, err)
	require.Greater(t, d.ID, m.lastID)
	m.runs[id], m.lastID = d, d.ID
}
