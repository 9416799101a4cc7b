package meter

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/accounting"
)

// SetLimits makes these the limits of the host. One that is in force stays as it
// is, with what the kernel has counted; a new one begins with Used. A guest whose
// ports are not counted yet has none until the next call.
//
//	nft list quotas table bridge xenhost_meter
func (l *Linux) SetLimits(ctx context.Context, limits []accounting.Limit) error {
	want := map[uuid.UUID]accounting.Limit{}
	for _, x := range limits {
		if x.Bytes <= 0 || x.Used < 0 {
			return fmt.Errorf("limit of %s: %d of %d bytes: %w", x.Guest, x.Used, x.Bytes, accounting.ErrInvalid)
		}
		want[x.Guest] = x
	}
	return l.do(ctx, func(ctx context.Context) error {
		have, made, err := l.conn.look()
		if err != nil || !made {
			return err
		}
		var elements, objects, added strings.Builder
		used := map[string]bool{} // family and name of what is in force and stays
		gone := map[string]bool{}
		for _, e := range have {
			x, limited := want[e.port.Guest]
			for d, name := range e.limits {
				if name == "" || limited && name == limitName(x) && x.Count.Has(accounting.Direction(d)) {
					if name != "" {
						used[e.port.family()+" "+table+" "+name] = true
					}
					continue
				}
				fmt.Fprintf(&elements, "delete element %s %s quota_%s { %q }\n", e.port.family(), table, directionName(d), e.port.Vif)
				gone[e.port.family()+" "+table+" "+name] = true
			}
		}
		for object := range gone {
			if !used[object] {
				fmt.Fprintf(&objects, "delete quota %s\n", object)
			}
		}
		for _, e := range have {
			x, limited := want[e.port.Guest]
			if !limited {
				continue
			}
			object := e.port.family() + " " + table + " " + limitName(x)
			for d, name := range e.limits {
				if !x.Count.Has(accounting.Direction(d)) || name == limitName(x) {
					continue
				}
				if !used[object] {
					fmt.Fprintf(&added, "add quota %s { over %d bytes used %d bytes }\n", object, x.Bytes, x.Used)
					used[object] = true
				}
				fmt.Fprintf(&added, "add element %s %s quota_%s { %q : %q }\n", e.port.family(), table, directionName(d), e.port.Vif, limitName(x))
			}
		}
		change := elements.String() + objects.String() + added.String()
		if change == "" {
			return nil
		}
		return l.nft(ctx, change)
	})
}

// limitName says all of a limit but Used, which the kernel goes on counting.
func limitName(l accounting.Limit) string {
	count := l.Count
	if count == "" {
		count = accounting.CountBoth
	}
	return fmt.Sprintf("q_%s_%d_%d_%s", strings.ReplaceAll(l.Guest.String(), "-", ""), l.Period.Unix(), l.Bytes, count)
}
