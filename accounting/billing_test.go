package accounting

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Examples that providers publish to explain the method.
func TestPercentilePublic(t *testing.T) {
	// "One month = 30 days x 24 h x 12 samples = 8,640; the top 432 are discarded;
	// the 8,208th is billed." (torchbyte.com/blog/95th-percentile-billing-networking)
	month := make([]int64, 8640)
	for i := range month {
		month[i] = int64(i + 1)
	}
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(month), func(i, j int) { month[i], month[j] = month[j], month[i] })
	assert.Equal(t, int64(8208), Percentile(slices.Clone(month), 8640, 95))

	// "500 minutes, 100 readings; the top 5 are disregarded, and the next highest
	// is your usage." (wiki.lunarpages.com/95th_Percentile_Billing)
	readings := []int64{2080, 1670, 1310, 890, 880, 870, 860, 850}
	for len(readings) < 100 {
		readings = append(readings, 100)
	}
	assert.Equal(t, int64(870), Percentile(readings, 100, 95))

	// "Less than 36 hours of burst cost nothing": 432 slots of 30 days are free,
	// one more is not. (peerpointinternet.co.uk, clarksys.com)
	burst := slices.Repeat([]int64{1000}, 432)
	assert.Equal(t, int64(0), Percentile(slices.Clone(burst), 8640, 95))
	assert.Equal(t, int64(1000), Percentile(append(burst, 1000), 8640, 95))

	// Index = 0.95 * 100 = 95 of 1, 2, ... 100 Mbit/s. (bsi-mt.notion.site)
	hundred := month[:0]
	for i := range 100 {
		hundred = append(hundred, int64(i+1))
	}
	assert.Equal(t, int64(95), Percentile(hundred, 100, 95))
}

func TestPercentile(t *testing.T) {
	assert.Zero(t, Percentile(nil, 0, 95))
	assert.Equal(t, int64(7), Percentile([]int64{7}, 1, 95))
	assert.Equal(t, int64(9), Percentile([]int64{7, 9}, 0, 100), "more than were expected")
	assert.Equal(t, int64(2), Percentile([]int64{3, 1, 2}, 3, 50))
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 2000 { // those above are floor(5 % of n)
		n := 1 + rnd.IntN(300)
		values := make([]int64, rnd.IntN(n+1))
		for i := range values {
			values[i] = 1 + rnd.Int64N(1000)
		}
		p := Percentile(values, n, 95)
		above := 0
		for _, v := range values {
			if v > p {
				above++
			}
		}
		require.LessOrEqual(t, above, n*5/100)
	}
}

func TestMonth(t *testing.T) {
	amsterdam, err := time.LoadLocation("Europe/Amsterdam")
	require.NoError(t, err)
	for _, c := range []struct {
		in         string
		loc        *time.Location
		anchor     int
		start, end string
		slots      int
	}{
		{"2026-11-27T12:00:00Z", time.UTC, 0, "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", 8640},
		{"2026-12-31T23:59:59Z", time.UTC, 1, "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z", 8928},
		{"2026-02-01T00:00:00Z", time.UTC, 1, "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z", 8064},
		{"2028-02-15T00:00:00Z", time.UTC, 1, "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z", 8352},
		{"2026-03-15T00:00:00Z", amsterdam, 1, "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z", 8928 - 12}, // summer begins
		{"2026-10-15T00:00:00Z", amsterdam, 1, "2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z", 8928 + 12}, // and ends
		{"2026-11-30T23:30:00Z", amsterdam, 1, "2026-11-30T23:00:00Z", "2026-12-31T23:00:00Z", 8928},      // it is December there
		{"2026-01-31T00:00:00Z", time.UTC, 31, "2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z", 8064},
		{"2026-02-28T00:00:00Z", time.UTC, 31, "2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z", 8928},
		{"2026-02-27T00:00:00Z", time.UTC, 31, "2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z", 8064},
		{"2026-01-05T00:00:00Z", time.UTC, 15, "2025-12-15T00:00:00Z", "2026-01-15T00:00:00Z", 8928},
	} {
		in, err := time.Parse(time.RFC3339, c.in)
		require.NoError(t, err)
		p, err := Month(in, c.loc, c.anchor)
		require.NoError(t, err)
		assert.Equal(t, c.start+" "+c.end, p.Start.Format(time.RFC3339)+" "+p.End.Format(time.RFC3339), c.in)
		assert.Equal(t, c.slots, p.Slots(), c.in)
	}
	_, err = Month(noon, time.UTC, 32)
	require.ErrorIs(t, err, ErrInvalid)
	for anchor := 1; anchor <= 31; anchor++ { // months follow each other without a hole
		for at := noon; at.Before(noon.AddDate(3, 0, 0)); {
			p, err := Month(at, amsterdam, anchor)
			require.NoError(t, err)
			require.True(t, p.Contains(at))
			next, err := Month(p.End, amsterdam, anchor)
			require.NoError(t, err)
			require.Equal(t, p.End, next.Start, anchor)
			at = p.End
		}
	}
}

func TestProRata(t *testing.T) {
	assert.Equal(t, int64(5_000_000), ProRata(10_000_000, 15*24*time.Hour, 30*24*time.Hour))
	assert.Equal(t, int64(2), ProRata(5, 1, 2), "2.5 is rounded to even")
	assert.Equal(t, int64(4), ProRata(7, 1, 2))
	assert.Equal(t, int64(-4), ProRata(-7, 1, 2))
	assert.Equal(t, int64(7), ProRata(7, 3, 2), "no more than all of it")
	assert.Zero(t, ProRata(7, 0, 2)+ProRata(7, 1, 0))
}

func list(rows ...Row) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// hundred is a period of 100 slots, of which the ledger has 90: they grow by
// 300 bytes in, and fall so out.
func hundred() (Period, []Row) {
	p := Period{noon, noon.Add(100 * SlotLength)}
	var rows []Row
	for i := range 90 {
		r := Row{Guest: web1, Start: noon.Add(time.Duration(i) * SlotLength), Usage: Usage{Running: 300_000}}
		r.Usage[ExternalIn4], r.Usage[ExternalIn6] = int64(100*(i+1)), int64(200*(i+1))
		r.Usage[ExternalOut4] = int64(300 * (90 - i))
		r.Usage[InternalIn4], r.Usage[WireIn] = 1e6, 2e6
		if i < 10 {
			r.Flags = Gap
		}
		rows = append(rows, r)
	}
	return p, rows
}

func TestStatement(t *testing.T) {
	p, rows := hundred()
	state := func(terms Terms, asOf time.Time) Statement {
		s, err := NewStatement(web1, p, terms, asOf, list(rows...))
		require.NoError(t, err)
		return s
	}
	s := state(Terms{Price: 1_000_000}, p.End)
	assert.Equal(t, int64(300*90*91/2), s.In)
	assert.Equal(t, s.In, s.Out)
	assert.Equal(t, 100, s.Slots)
	assert.Equal(t, 10, s.Missing)
	assert.Equal(t, int64(85*8), s.Rate, "the 95th of 100, ten of which are 0")
	assert.Equal(t, map[string]int{"gap": 10}, s.Flags)
	assert.Equal(t, 90*SlotLength, s.Active)
	assert.Equal(t, int64(900_000), s.Charge)

	assert.Equal(t, int64(91*8), state(Terms{Rule: RuleSum}, p.End).Rate, "both directions are 91 in each slot")
	assert.Equal(t, int64(88*8), state(Terms{Rule: RulePeak}, p.End).Rate)
	each := state(Terms{Rule: RuleEach}, p.End)
	assert.Equal(t, []int64{0, 85 * 8, 85 * 8}, []int64{each.Rate, each.RateIn, each.RateOut})
	assert.Equal(t, int64(86*8), state(Terms{SkipMissing: true}, p.End).Rate, "the 86th of 90")
	skip := state(Terms{SkipGaps: true}, p.End)
	assert.Equal(t, []int64{90, 10}, []int64{int64(skip.Slots), int64(skip.Missing)})
	assert.Equal(t, int64(50*8), state(Terms{Percentile: 60}, p.End).Rate)
	assert.Equal(t, int64(90e6), state(Terms{Bill: []Class{Internal}}, p.End).In)
	assert.Equal(t, int64(180e6), state(Terms{Wire: true}, p.End).In)

	early := state(Terms{}, noon.Add(10*SlotLength+1))
	assert.Equal(t, 10, early.Slots, "as of now")
	assert.Equal(t, int64(300*55), early.In)
	require.ErrorIs(t, early.Final(), ErrInvalid)
	require.NoError(t, s.Final())

	rows[3].Flags |= Coarse
	_, err := NewStatement(web1, p, Terms{}, p.End, list(rows...))
	require.ErrorContains(t, err, "not kept any more")
	_, err = NewStatement(web1, p, Terms{}, p.End, func(yield func(Row, error) bool) { yield(Row{}, errors.New("disk")) })
	require.ErrorContains(t, err, "disk")
	for _, bad := range []Terms{{Percentile: 101}, {Rule: "mean"}, {Bill: []Class{7}}} {
		_, err := NewStatement(web1, p, bad, p.End, list())
		require.ErrorIs(t, err, ErrInvalid)
	}
	_, err = NewStatement(web1, Period{noon, noon}, Terms{}, p.End, list())
	require.ErrorIs(t, err, ErrInvalid)
}

func TestReports(t *testing.T) {
	p, rows := hundred()
	s, err := NewStatement(web1, p, Terms{}, p.End, list(rows...))
	require.NoError(t, err)
	s.Name = `=HYPERLINK("http://evil")`
	var out bytes.Buffer
	require.NoError(t, CSV(&out, []Statement{s}))
	all, err := csv.NewReader(&out).ReadAll()
	require.NoError(t, err)
	require.Len(t, all, 2)
	assert.Equal(t, `'=HYPERLINK("http://evil")`, all[1][1])
	assert.Equal(t, "1228500", all[1][5])
	for in, want := range map[string]string{"web1": "web1", "-1": "'-1", " +1": "' +1", "\t=1": "'\t=1", "@x": "'@x", "": "", "|cmd": "'|cmd"} {
		assert.Equal(t, want, harmless(in))
	}
	out.Reset()
	require.NoError(t, Table(&out, []Statement{s}, GB))
	assert.Contains(t, out.String(), "P95 MBIT/S")
	assert.Contains(t, out.String(), "gap:10")
	out.Reset()
	require.NoError(t, JSON(&out, []Statement{s}))
	var back []Statement
	require.NoError(t, json.Unmarshal(out.Bytes(), &back))
	assert.Equal(t, []Statement{s}, back)
	out.Reset()
	require.NoError(t, JSON(&out, nil))
	assert.Equal(t, "[]\n", out.String())

	text, err := json.Marshal(WHMCS(Statement{Name: "web1", In: 1.5e9, Out: 1}, 20<<30, 1e12))
	require.NoError(t, err)
	assert.JSONEq(t, `{"domain":"web1","diskusage":21475,"disklimit":21475,"bwusage":1501,"bwlimit":1000000}`, string(text))
}

func TestUnits(t *testing.T) {
	assert.Equal(t, "1.099", TB.Format(1<<40))
	assert.Equal(t, "1.000", TiB.Format(1<<40))
	assert.Equal(t, "-0.999", GB.Format(-999_999_999))
	for _, u := range []Unit{MB, GB, TB, MiB, GiB, TiB} {
		got, err := ParseUnit(u.String())
		require.NoError(t, err)
		assert.Equal(t, u, got)
	}
	_, err := ParseUnit("gb")
	require.ErrorIs(t, err, ErrInvalid)
	var u Usage
	require.ErrorIs(t, json.Unmarshal([]byte(`{"beer":1}`), &u), ErrInvalid)
	require.NoError(t, json.NewDecoder(strings.NewReader(`{"cpu_ns":7}`)).Decode(&u))
	assert.Equal(t, Usage{CPU: 7}, u)
	assert.Equal(t, ExternalOut6, Traffic(External, Out, 6))
}

func TestPower(t *testing.T) {
	used := map[uuid.UUID]Usage{web1: {Memory: 3 << 20, CPU: int64(time.Hour)}, db1: {Memory: 1 << 20}}
	got := Power(time.Hour, used, Curve{CPUs: 2})
	assert.Equal(t, map[uuid.UUID]int64{web1: (90 + 27) * 3_600_000, db1: 30 * 3_600_000}, got, "120 W by memory, half of 54 W by CPU time")
	used[uuid.UUID{}] = Usage{Energy: 200 * 3_600_000}
	got = Power(time.Hour, used, Curve{CPUs: 2})
	assert.Equal(t, map[uuid.UUID]int64{web1: (90 + 80) * 3_600_000, db1: 30 * 3_600_000}, got, "all that the meter measured")
	assert.Empty(t, Power(time.Hour, nil, Curve{}))
}
