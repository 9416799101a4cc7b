package accounting

import "context"

// Send sends what is pending to a sink, in parcels of about limit rows, until
// nothing is; it returns how many rows went. host is the name of this ledger
// there, for ever. After an error, of either side or of the line between them,
// doing it again goes on from there: nothing is sent in vain, counted twice or
// left out.
func Send(ctx context.Context, from Store, to Sink, host string, limit int) (rows int, err error) {
	for {
		p, err := from.Pending(ctx, limit)
		if err != nil || p.Seq == 0 {
			return rows, err
		}
		p.Host = host
		acked, err := to.Push(ctx, p)
		if err != nil {
			return rows, err
		}
		if err := from.Sent(ctx, acked); err != nil {
			return rows, err
		}
		rows += len(p.Rows)
	}
}
