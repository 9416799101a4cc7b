package accounting

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Terms say how a guest is billed. The zero value bills external IP traffic, by
// calendar months in UTC.
type Terms struct {
	Zone   string  `json:"zone,omitempty"`   // of the month, as Europe/Amsterdam; "" is UTC
	Anchor int     `json:"anchor,omitempty"` // its first day; see Month
	Bill   []Class `json:"bill,omitempty"`   // the classes that count; none is External
	// Wire bills Ethernet bytes of all classes (WireIn, WireOut) instead.
	Wire bool `json:"wire,omitempty"`
	// Percentile of the slots' rates that is billed, and how the directions are
	// taken together. 0 is 95.
	Percentile int  `json:"percentile,omitempty"`
	Rule       Rule `json:"rule,omitempty"`
	// SkipMissing leaves slots out that the ledger knows nothing of, instead of
	// counting them as 0. SkipGaps leaves out those that were spread over a time
	// in which nobody read.
	SkipMissing bool `json:"skip_missing,omitempty"`
	SkipGaps    bool `json:"skip_gaps,omitempty"`
	// Price of a whole period, in millionths of any currency, charged for the
	// time that the guest ran; 0 is none.
	Price int64 `json:"price,omitempty"`
}

// Rule says how two directions make one rate.
type Rule string

// The usual ones. All of them are in a Statement; this is which one is billed.
const (
	RuleMax  Rule = "max"  // the larger of the percentiles of each; also ""
	RuleSum  Rule = "sum"  // the percentile of both together
	RulePeak Rule = "peak" // the percentile of the larger one of each slot
	RuleEach Rule = "each" // each by itself: there is no one rate
)

// Statement is what a guest used in a period.
type Statement struct {
	Guest  uuid.UUID `json:"guest"`
	Name   string    `json:"name,omitempty"` // for people
	Period Period    `json:"period"`
	Terms  Terms     `json:"terms"`
	AsOf   time.Time `json:"as_of"` // slots from here on are not in it
	Usage  Usage     `json:"usage"` // all of it, billed or not
	In     int64     `json:"in"`    // bytes that are billed
	Out    int64     `json:"out"`

	Rate    int64 `json:"rate"` // bit/s by Terms.Rule
	RateIn  int64 `json:"rate_in"`
	RateOut int64 `json:"rate_out"`

	Slots   int            `json:"slots"`           // that the percentile is of
	Missing int            `json:"missing"`         // that the ledger knows nothing of
	Flags   map[string]int `json:"flags,omitempty"` // how many slots have which

	Active time.Duration `json:"active"` // that it ran
	Charge int64         `json:"charge,omitempty"`
	// Inputs is a SHA-256 over the rows: two statements of one period differ in
	// it if the ledger has learned something in between.
	Inputs string `json:"inputs"`
}

// NewStatement computes a statement of the period from its rows, in slots and
// in order, as Reader.Rows returns them. asOf is now, or later than the period.
func NewStatement(guest uuid.UUID, p Period, t Terms, asOf time.Time, rows iter.Seq2[Row, error]) (Statement, error) {
	if err := t.validate(p); err != nil {
		return Statement{}, &Error{Op: "statement", Name: guest.String(), Err: err}
	}
	end := SlotOf(asOf)
	if end.After(p.End) {
		end = p.End
	}
	expected := max(Period{p.Start, end}.Slots(), 0)
	s := Statement{Guest: guest, Period: p, Terms: t, AsOf: end}
	m := measure{in: make([]int64, 0, expected), out: make([]int64, 0, expected)}
	sum := sha256.New()
	skipped := 0
	for r, err := range rows {
		if err == nil && r.Flags&Coarse != 0 {
			err = fmt.Errorf("the slots of %s are not kept any more", r.Start.Format(time.DateOnly))
		}
		if err != nil {
			return Statement{}, &Error{Op: "statement", Name: guest.String(), Err: err}
		}
		if r.Start.Before(p.Start) || !r.Start.Before(end) {
			continue
		}
		hashRow(sum.Write, r)
		s.Usage.Add(r.Usage)
		if r.Flags != 0 && s.Flags == nil {
			s.Flags = map[string]int{}
		}
		for _, w := range r.Flags.words() {
			s.Flags[w]++
		}
		in, out := t.billed(r.Usage)
		s.In, s.Out = s.In+in, s.Out+out
		if t.SkipGaps && r.Flags&Gap != 0 {
			skipped++
			continue
		}
		m.in, m.out = append(m.in, in), append(m.out, out)
	}
	s.Missing = max(expected-len(m.in)-skipped, 0)
	s.Slots = expected - skipped
	if t.SkipMissing {
		s.Slots -= s.Missing
	}
	s.RateIn, s.RateOut, s.Rate = m.rates(s.Slots, t)
	s.Active = time.Duration(s.Usage[Running]) * time.Millisecond
	s.Charge = ProRata(t.Price, s.Active, p.End.Sub(p.Start))
	s.Inputs = hex.EncodeToString(sum.Sum(nil))
	return s, nil
}

func hashRow(write func([]byte) (int, error), r Row) {
	buf := make([]byte, 0, 16+8*(2+len(r.Usage)))
	buf = append(buf, r.Guest[:]...)
	buf = binary.BigEndian.AppendUint64(buf, uint64(r.Start.Unix()))
	buf = binary.BigEndian.AppendUint64(buf, uint64(r.Flags))
	for _, v := range r.Usage {
		buf = binary.BigEndian.AppendUint64(buf, uint64(v))
	}
	_, _ = write(buf) // a hash takes everything
}

func (t Terms) validate(p Period) error {
	switch {
	case !p.Start.Before(p.End) || p.End.Sub(p.Start) > 400*24*time.Hour:
		return fmt.Errorf("period of %v to %v: %w", p.Start, p.End, ErrInvalid)
	case t.Percentile < 0 || t.Percentile > 100:
		return fmt.Errorf("percentile %d: %w", t.Percentile, ErrInvalid)
	case !slices.Contains([]Rule{"", RuleMax, RuleSum, RulePeak, RuleEach}, t.Rule):
		return fmt.Errorf("rule %q: %w", t.Rule, ErrInvalid)
	}
	for _, c := range t.Bill {
		if c >= NumClasses {
			return fmt.Errorf("%v: %w", c, ErrInvalid)
		}
	}
	return nil
}

// billed are the bytes that count.
func (t Terms) billed(u Usage) (in, out int64) {
	if t.Wire {
		return u[WireIn], u[WireOut]
	}
	if len(t.Bill) == 0 {
		return u.Net(External, In), u.Net(External, Out)
	}
	for _, c := range t.Bill {
		in, out = in+u.Net(c, In), out+u.Net(c, Out)
	}
	return in, out
}

// measure is the bytes of each slot.
type measure struct{ in, out []int64 }

func (m measure) rates(n int, t Terms) (in, out, rate int64) {
	percent := t.Percentile
	if percent == 0 {
		percent = 95
	}
	both := make([]int64, len(m.in))
	for i := range both {
		switch t.Rule {
		case RuleSum:
			both[i] = m.in[i] + m.out[i]
		case RulePeak:
			both[i] = max(m.in[i], m.out[i])
		}
	}
	in, out = bitRate(Percentile(m.in, n, percent)), bitRate(Percentile(m.out, n, percent))
	switch t.Rule {
	case RuleSum, RulePeak:
		return in, out, bitRate(Percentile(both, n, percent))
	case RuleEach:
		return in, out, 0
	}
	return in, out, max(in, out)
}

// bitRate is the rate in bit/s of so many bytes a slot, rounded down.
func bitRate(bytes int64) int64 { return bytes * 8 / int64(SlotLength/time.Second) }

// Percentile returns the value at the percentile of n, where those that are not
// in values are 0: of n sorted values the ceil(n*percent/100)-th, so that
// floor(n*(100-percent)/100) are above it. It sorts values.
func Percentile(values []int64, n, percent int) int64 {
	slices.Sort(values)
	n = max(n, len(values))
	at := (n*percent+99)/100 - 1 - (n - len(values))
	if n == 0 || at < 0 {
		return 0
	}
	return values[at]
}
