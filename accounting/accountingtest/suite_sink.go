package accountingtest

import (
	"errors"
	"io/fs"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/accounting"
)

func isStale(err error) bool { return errors.Is(err, accounting.ErrStale) }

// SinkReader is a collector of ledgers that answers questions.
type SinkReader interface {
	accounting.Sink
	accounting.Reader
}

// TestSink is what every collector must do; open makes an empty one.
func TestSink(t *testing.T, open func(t *testing.T) SinkReader) {
	t.Run("push", func(t *testing.T) { testPush(t, open(t)) })
	t.Run("refused", func(t *testing.T) { testRefused(t, open(t)) })
	t.Run("freeze", func(t *testing.T) { testFreeze(t, open(t)) })
}

// used is a row of web1.
func used(slot int, in int64) accounting.Row {
	return accounting.Row{Guest: web1(), Start: midnight().Add(time.Duration(slot) * accounting.SlotLength),
		Usage: accounting.Usage{accounting.ExternalIn4: in, accounting.CPU: 5}}
}

func testPush(t *testing.T, s SinkReader) {
	push := func(host string, seq uint64, rows ...accounting.Row) uint64 {
		acked, err := s.Push(t.Context(), accounting.Parcel{Host: host, Seq: seq, Rows: rows})
		require.NoError(t, err)
		return acked
	}
	assert.Equal(t, uint64(3), push("curacao", 3, used(0, 10), used(1, 20)))
	assert.Equal(t, uint64(3), push("curacao", 3, used(0, 10), used(1, 20)), "again")
	assert.Equal(t, uint64(3), push("curacao", 2, used(0, 1)), "an old one changes nothing")
	assert.Equal(t, uint64(7), push("curacao", 7, used(1, 25)), "rows are as they are now, not differences")
	gap := used(1, 100)
	gap.Flags = accounting.Gap
	assert.Equal(t, uint64(1), push("islay", 1, gap), "the guest was on both hosts in this slot")
	other := used(0, 1)
	other.Guest = db1()
	push("islay", 2, other)

	both := used(1, 125)
	both.Usage[accounting.CPU] = 10
	both.Flags = accounting.Gap
	assert.Equal(t, []accounting.Row{used(0, 10), both, other}, Rows(t, s, always(0)))
	hour := used(0, 135)
	hour.Usage[accounting.CPU] = 15
	hour.Flags = accounting.Gap
	assert.Equal(t, []accounting.Row{hour}, Rows(t, s, accounting.Query{Guest: web1(), From: midnight(), To: midnight().Add(time.Hour), Step: time.Hour}))
	assert.Equal(t, []accounting.Row{hour}, Rows(t, s, accounting.Query{Guest: web1(), From: midnight(), To: midnight().Add(time.Hour), Step: day}))
}

func testRefused(t *testing.T, s SinkReader) {
	late := used(0, 1)
	late.Start = late.Start.Add(time.Second)
	negative := used(0, -1)
	coarse := used(0, 1)
	coarse.Flags = accounting.Coarse
	for _, p := range []accounting.Parcel{
		{Host: "", Seq: 1}, {Host: "curacao", Seq: 0}, {Host: "curacao", Seq: 1 << 63},
		{Host: "curacao", Seq: 1, Rows: []accounting.Row{late}},
		{Host: "curacao", Seq: 1, Rows: []accounting.Row{negative}},
		{Host: "curacao", Seq: 1, Rows: []accounting.Row{coarse}},
		{Host: "curacao", Seq: 1, Rows: []accounting.Row{used(0, 1), used(0, 1)}},
	} {
		_, err := s.Push(t.Context(), p)
		require.ErrorIs(t, err, accounting.ErrInvalid, "%+v", p)
	}
	assert.Empty(t, Rows(t, s, always(0)))
}

func testFreeze(t *testing.T, s SinkReader) {
	p := accounting.Period{Start: midnight(), End: midnight().Add(day)}
	_, err := s.Push(t.Context(), accounting.Parcel{Host: "curacao", Seq: 1, Rows: []accounting.Row{used(0, 10), used(1, 20)}})
	require.NoError(t, err)
	state := func(terms accounting.Terms) accounting.Statement {
		out, err := accounting.NewStatement(web1(), p, terms, p.End, s.Rows(t.Context(), accounting.Query{Guest: web1(), From: p.Start, To: p.End}))
		require.NoError(t, err)
		return out
	}
	_, err = s.Frozen(t.Context(), web1(), p.Start)
	require.ErrorIs(t, err, fs.ErrNotExist)
	first := state(accounting.Terms{Bill: []accounting.Class{accounting.External, accounting.Peer}})
	assert.Equal(t, int64(30), first.In)
	open := first
	open.AsOf = p.End.Add(-1)
	_, err = s.Freeze(t.Context(), open)
	require.ErrorIs(t, err, accounting.ErrInvalid, "the period is not over")
	kept, err := s.Freeze(t.Context(), first)
	require.NoError(t, err)
	assert.Equal(t, first, kept)

	_, err = s.Push(t.Context(), accounting.Parcel{Host: "curacao", Seq: 2, Rows: []accounting.Row{used(5, 1000)}})
	require.NoError(t, err)
	late := state(first.Terms)
	assert.Equal(t, int64(1030), late.In)
	assert.NotEqual(t, first.Inputs, late.Inputs)
	kept, err = s.Freeze(t.Context(), late)
	require.NoError(t, err)
	assert.Equal(t, first, kept, "what was billed stays")
	kept, err = s.Frozen(t.Context(), web1(), p.Start)
	require.NoError(t, err)
	assert.Equal(t, first, kept)
	_, err = s.Freeze(t.Context(), state(accounting.Terms{Wire: true}))
	require.ErrorIs(t, err, fs.ErrExist)
	p = accounting.Period{Start: midnight().Add(time.Hour), End: midnight().Add(25 * time.Hour)}
	_, err = s.Freeze(t.Context(), state(first.Terms))
	require.ErrorIs(t, err, fs.ErrExist, "an hour would be billed twice")
	p = accounting.Period{Start: midnight().Add(day), End: midnight().Add(2 * day)}
	_, err = s.Freeze(t.Context(), state(first.Terms))
	require.NoError(t, err)
}
