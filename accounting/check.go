package accounting

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"time"

	"github.com/google/uuid"
)

// Validate refuses a parcel that a sink must not take: ErrInvalid.
func (p Parcel) Validate() error {
	if p.Host == "" || len(p.Host) > 253 || p.Seq == 0 || p.Seq > maxValue {
		return fmt.Errorf("parcel %d of %q: %w", p.Seq, p.Host, ErrInvalid)
	}
	type place struct {
		guest uuid.UUID
		start int64
	}
	seen := make(map[place]bool, len(p.Rows))
	for _, r := range p.Rows {
		at := place{r.Guest, r.Start.Unix()}
		if seen[at] || SlotOf(r.Start) != r.Start.UTC() || r.Flags&Coarse != 0 {
			return fmt.Errorf("row of %s at %s: %w", r.Guest, r.Start.Format(time.RFC3339Nano), ErrInvalid)
		}
		seen[at] = true
		for m, v := range r.Usage {
			if v < 0 {
				return fmt.Errorf("row of %s: %v %d: %w", r.Guest, Metric(m), v, ErrInvalid)
			}
		}
	}
	return nil
}

// Final refuses to freeze a period that is not over.
func (s Statement) Final() error {
	if s.AsOf.Before(s.Period.End) {
		return fmt.Errorf("the period ends at %s, the statement is as of %s: %w", s.Period.End.Format(time.RFC3339), s.AsOf.Format(time.RFC3339), ErrInvalid)
	}
	return nil
}

// Replaces tells whether s, which is frozen, answers for want: it is about the
// same period by the same terms. Otherwise fs.ErrExist.
func (s Statement) Replaces(want Statement) error {
	a, err := json.Marshal(s.Terms)
	if err != nil {
		return err
	}
	b, err := json.Marshal(want.Terms)
	if err != nil {
		return err
	}
	if s.Period.Start.Equal(want.Period.Start) && s.Period.End.Equal(want.Period.End) && bytes.Equal(a, b) {
		return nil
	}
	return fmt.Errorf("%s to %s was billed by other terms: %w", s.Period.Start.Format(time.RFC3339), s.Period.End.Format(time.RFC3339), fs.ErrExist)
}
