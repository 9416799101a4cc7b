package shaping

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestParseRate(t *testing.T) {
	for text, want := range map[string]Rate{
		"8000bit": 8 * Kbit, "512kbit": 512 * Kbit, "100mbit": 100 * Mbit, "1gbit": Gbit, "1tbit": Tbit,
		"1.5gbit": 1500 * Mbit, "0.064mbit": 64 * Kbit, "100Mbit": 100 * Mbit, "100Mbit/s": 100 * Mbit,
		"100 Mbit/s": 100 * Mbit, "10Mb/s": 10 * Mbit, "10Mb": 10 * Mbit, "0bit": 0, "1.000bit": 1,
	} {
		r, err := ParseRate(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, r, text)
	}
	for _, text := range []string{
		"", "10", "100M", "10MB/s", "10mbps", "10Mbps", "10MB", "10kibit", "bit", "mbit", "-1mbit", "+1mbit", "1e3bit",
		".5mbit", "1.mbit", "0.5bit", "1.0005kbit", "1.00000001bit", "2tbit", "9223372036854775807bit", "99999999999999999999999bit",
		"1 0mbit", "10mbit ", " 10mbit", "1_0mbit", "10mbit/m", "10mbit/s/s", "10 m bit x",
	} {
		_, err := ParseRate(text)
		require.ErrorIs(t, err, ErrInvalid, text)
	}
	for r, want := range map[Rate]string{0: "0bit", 1: "1bit", 1500 * Kbit: "1500kbit", Gbit: "1gbit", 12 * Tbit: "12tbit", -Mbit: "-1mbit"} {
		assert.Equal(t, want, r.String())
	}
}

func FuzzParseRate(f *testing.F) {
	for _, s := range []string{"1.5gbit", "100 Mbit/s", "10MB/s", "0.000001tbit", "99999999999gbit"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRate(text)
		if err != nil {
			require.Zero(t, r)
			return
		}
		require.True(t, r >= 0 && r <= MaxRate, "%d", r)
		again, err := ParseRate(r.String())
		require.NoError(t, err)
		require.Equal(t, r, again)
	})
}

func TestJSON(t *testing.T) {
	g := Guest{UUID: uuid.Nil, Vifs: []string{"vif1.0"}, Policy: Policy{Download: 1500 * Kbit, Weight: 2}}
	data, err := json.Marshal(g)
	require.NoError(t, err)
	assert.JSONEq(t, `{"uuid":"00000000-0000-0000-0000-000000000000","vifs":["vif1.0"],"policy":{"download":"1500kbit","weight":2}}`, string(data))
	var back Guest
	require.NoError(t, json.Unmarshal(data, &back))
	assert.Equal(t, g, back)
	require.ErrorIs(t, json.Unmarshal([]byte(`{"policy":{"download":"100"}}`), &back), ErrInvalid)
	require.Error(t, json.Unmarshal([]byte(`{"policy":{"download":100000000}}`), &back), "a bare number")
}

func TestPolicyText(t *testing.T) {
	for text, p := range map[string]Policy{
		"unlimited":        {},
		"download 100mbit": {Download: 100 * Mbit},
		"download 100mbit upload 50mbit ceil 200mbit send 1gbit burst 1048576B weight 4 priority 1": {100 * Mbit, 50 * Mbit, 200 * Mbit, Gbit, 1 << 20, 4, 1},
	} {
		assert.Equal(t, text, p.String())
		back, err := ParsePolicy(text)
		require.NoError(t, err)
		assert.Equal(t, p, back)
	}
	for _, text := range []string{
		"", "download", "download 100", "download 1mbit download 2mbit", "speed 1mbit", "upload 2mbit ceil 1mbit",
		"unlimited unlimited", "weight 101", "weight x", "burst 99999999999B", "priority -1", "download 1bit",
	} {
		_, err := ParsePolicy(text)
		require.ErrorIs(t, err, ErrInvalid, text)
	}
}

func FuzzNote(f *testing.F) {
	f.Add("guest 7f3a0000-0000-4000-8000-000000000001: download 100mbit upload 50mbit throttle 1mbit until 2026-12-01T00:00:00Z")
	f.Add("guest 7f3a0000-0000-4000-8000-000000000001: unlimited throttle 64kbit")
	f.Add("uplink eth0 rate 950mbit dom0 95mbit")
	f.Fuzz(func(t *testing.T, text string) {
		if g, ok := parseNote(text); ok {
			again, ok := parseNote(g.note())
			require.True(t, ok, g.note())
			require.Equal(t, g, again)
			require.Less(t, len(g.note()), 250, "the kernel's bound of a comment")
		}
		if u, ok := parseUplink(text); ok {
			again, ok := parseUplink(u.String())
			require.True(t, ok)
			require.Equal(t, u, again)
		}
	})
}

// FuzzAnswers: whatever a kernel says, it is read without a panic.
func FuzzAnswers(f *testing.F) {
	f.Add(setBucket(1, bucket{1, 2, 3}, "").body)
	f.Add(setClass(1, 2, 3, class{}, "").body)
	f.Add(putNotes([]entry{{"vif1.0", 7, "guest"}})[0].body)
	f.Add(redirect(1, 2, "")[2].body)
	f.Fuzz(func(t *testing.T, body []byte) {
		o := observe(record{})
		o.addFilter(body)
		o.addLink(body)
		o.addQueue(body)
		o.addClass(body)
		entriesOf(body)
		said(body)
	})
}

// What we tell the kernel about a limit is what we read of it.
func TestMessagesAreReadBack(t *testing.T) {
	for _, rate := range []Rate{MinRate, 10 * Mbit, 34 * Gbit, 35 * Gbit, MaxRate} {
		b, _ := Policy{Download: rate}.download()
		r, ok := parseRoot(setBucket(7, b, "").body)
		require.True(t, ok)
		assert.Equal(t, b, r.bucket)
		assert.True(t, r.ours(vifRoot))
		want := Policy{Upload: rate, Weight: 9, Priority: 3}.upload(Uplink{"eth0", MaxRate, Mbit})
		id, c, _, ok := parseClass(setClass(7, uplinkRoot|5, lineClass, want, "").body)
		require.True(t, ok)
		assert.Equal(t, uplinkRoot|5, id)
		assert.Equal(t, want, c)
	}
	entries := []entry{{"vif1.0", uplinkRoot | 1, "guest a"}, {"x23456789012345", uplinkRoot | 2, ""}}
	assert.Equal(t, entries, entriesOf(putNotes(entries)[0].body))
	assert.Len(t, putNotes(make([]entry, 1001)), 2*11, "messages are bounded")
}

func TestRender(t *testing.T) {
	b, limited := Policy{Download: 10 * Mbit}.download()
	require.True(t, limited)
	assert.Equal(t, bucket{rate: 1_250_000, limit: 62_500 + frame, buffer: 921_600}, b, "59 ms of the rate, in 64 ns")
	b, _ = Policy{Download: 10 * Mbit, Burst: 100 << 20}.download()
	assert.Equal(t, uint32(62_500+frame), b.limit, "a credit is no longer queue")
	assert.InDelta(t, 1_310_720_000, b.buffer, 1, "84 s")
	_, limited = Policy{Upload: Mbit}.download()
	assert.False(t, limited)

	up := Uplink{"eth0", Gbit, 100 * Mbit}
	assert.Equal(t, up.line().rate, Policy{}.upload(up).ceil, "no cap but the line")
	assert.Equal(t, uint64(MinRate/8), Policy{}.upload(up).rate, "nothing promised")
	assert.Equal(t, uint64(Mbit/8), Policy{Upload: Mbit}.upload(up).ceil, "upload alone is a cap")
	assert.Equal(t, up.line().ceil, Policy{Upload: Mbit, Ceil: Tbit}.upload(up).ceil)
	assert.Equal(t, 3*Policy{}.upload(up).quantum, Policy{Weight: 3}.upload(up).quantum)
}

func TestLimits(t *testing.T) {
	for _, c := range []struct{ policy, want Policy }{
		{Policy{}, Policy{Download: Mbit, Ceil: Mbit}},
		{Policy{Download: 100 * Mbit, Upload: 50 * Mbit, Ceil: Gbit, Burst: 1 << 20, Weight: 2}, Policy{Download: Mbit, Upload: Mbit, Weight: 2}},
		{Policy{Download: 64 * Kbit, Upload: 64 * Kbit}, Policy{Download: 64 * Kbit, Upload: 64 * Kbit}},
		{Policy{Upload: 64 * Kbit, Ceil: 10 * Mbit}, Policy{Download: Mbit, Upload: 64 * Kbit, Ceil: Mbit}},
	} {
		assert.Equal(t, c.policy, Guest{Policy: c.policy}.Limits())
		assert.Equal(t, c.want, Guest{Policy: c.policy, Throttle: Throttle{Rate: Mbit}}.Limits())
	}
}

// states draws hosts of up to four guests out of a few, so that two of them
// often have something in common.
func states() *rapid.Generator[State] {
	return rapid.Custom(func(t *rapid.T) State {
		var s State
		rates := rapid.SampledFrom([]Rate{0, MinRate, Mbit, 100 * Mbit})
		if rapid.Bool().Draw(t, "uplink") {
			s.Uplink = Uplink{Dev: rapid.SampledFrom([]string{"eth0", "eth1"}).Draw(t, "dev"), Rate: 10 * Gbit, Dom0: rates.Draw(t, "dom0")}
		}
		for n := range byte(4) {
			if rapid.Bool().Draw(t, "there") {
				g := Guest{UUID: uuid.UUID{15: n + 1}, Policy: Policy{Download: rates.Draw(t, "download"), Send: rates.Draw(t, "send"), Weight: rapid.IntRange(0, 2).Draw(t, "weight")}}
				for i := range rapid.IntRange(1, 3).Draw(t, "vifs") {
					g.Vifs = append(g.Vifs, fmt.Sprintf("vif%d.%d", n, i))
				}
				if rate := rates.Draw(t, "throttle"); rate != 0 {
					g.Throttle = Throttle{Rate: rate, Until: time.Unix(rapid.Int64Range(0, 1<<32).Draw(t, "until"), 0).UTC()}
				}
				s.Guests = append(s.Guests, g)
			}
		}
		return s
	})
}

// do carries a plan out on paper, by the words of its steps alone.
func do(t require.TestingT, s State, p Plan) State {
	for _, step := range p.Steps {
		u, isUplink := parseUplink(step.What)
		on, terms, _ := strings.Cut(step.What, ": ")
		head, vifs, _ := strings.Cut(on, " on ")
		g, isGuest := parseNote(head + ": " + terms)
		g.Vifs = strings.Split(vifs, ",")
		_, known := s.Guest(g.UUID)
		switch {
		case isUplink && step.Verb == "remove":
			require.Equal(t, s.Uplink, u)
			s.Uplink = Uplink{}
		case isUplink:
			require.Equal(t, step.Verb == "change", s.Uplink != Uplink{})
			s.Uplink = u
		case isGuest && step.Verb == "remove":
			require.True(t, known)
			s = s.Without(g.UUID)
		case isGuest:
			require.Equal(t, step.Verb == "change", known)
			s = s.With(g)
		default:
			require.Fail(t, "not a step", step)
		}
	}
	return s
}

func TestPlanLeadsToWhatIsWanted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		have, want := states().Draw(t, "have").Normalize(), states().Draw(t, "want").Normalize()
		require.Equal(t, want, do(t, have, Diff(have, want)))
		require.True(t, Diff(want, want).Empty())
		require.NoError(t, want.Validate())
	})
}

func TestUntil(t *testing.T) {
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	s := State{Guests: []Guest{
		{UUID: uuid.UUID{15: 1}, Throttle: Throttle{Mbit, at}},
		{UUID: uuid.UUID{15: 2}, Throttle: Throttle{Mbit, at.Add(time.Hour)}},
		{UUID: uuid.UUID{15: 3}, Throttle: Throttle{Rate: Mbit}},
	}}
	now, next := s.Until(at.Add(-time.Nanosecond))
	assert.Equal(t, s, now)
	assert.Equal(t, at, next)
	now, next = s.Until(at)
	assert.Zero(t, now.Guests[0].Throttle)
	assert.Equal(t, at.Add(time.Hour), next)
	now, next = s.Until(at.Add(time.Hour))
	assert.Equal(t, Throttle{Rate: Mbit}, now.Guests[2].Throttle)
	assert.Zero(t, next)
}
