package sqlite

import (
	"encoding/binary"
	"errors"

	"github.com/xenhost/xenhost/accounting"
)

// encodeCursors writes where the counters of a guest and source stand.
func encodeCursors(cursors accounting.Cursors) []byte {
	var out []byte
	text := func(s string) { out = append(binary.AppendUvarint(out, uint64(len(s))), s...) }
	for key, c := range cursors {
		absent := byte(0)
		if c.Absent {
			absent = 1
		}
		out = append(out, byte(key.Metric), absent)
		text(key.Dev)
		text(c.Epoch)
		out = binary.AppendUvarint(out, c.Value)
	}
	return out
}

var errCursors = errors.New("damaged cursors")

func decodeCursors(data []byte) (accounting.Cursors, error) {
	out := accounting.Cursors{}
	bad := false
	number := func() uint64 {
		v, n := binary.Uvarint(data)
		if n <= 0 {
			bad, data = true, nil
			return 0
		}
		data = data[n:]
		return v
	}
	text := func() string {
		n := number()
		if n > uint64(len(data)) {
			bad, data = true, nil
			return ""
		}
		s := string(data[:n])
		data = data[n:]
		return s
	}
	for len(data) >= 2 {
		key := accounting.Key{Metric: accounting.Metric(data[0])}
		c := accounting.Cursor{Absent: data[1] == 1}
		data = data[2:]
		key.Dev, c.Epoch, c.Value = text(), text(), number()
		out[key] = c
	}
	if bad || len(data) > 0 {
		return nil, errCursors
	}
	return out, nil
}

// encodeUsage writes totals, a varint each; decodeUsage reads also those of a
// version that had fewer metrics.
func encodeUsage(u accounting.Usage) []byte {
	var out []byte
	for _, v := range u {
		out = binary.AppendUvarint(out, uint64(v))
	}
	return out
}

func decodeUsage(data []byte) (u accounting.Usage, err error) {
	for m := 0; len(data) > 0; m++ {
		v, n := binary.Uvarint(data)
		if n <= 0 || m >= len(u) {
			return u, errors.New("damaged totals")
		}
		u[m], data = int64(v), data[n:]
	}
	return u, nil
}
