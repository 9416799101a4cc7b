package blockcopy

import "io"

// Meter passes a stream on to W and tells how far it got, without changing it:
// for a progress bar of whoever stands between the two ends.
type Meter struct {
	W io.Writer
	// Frame is called after each frame, with the extent that it is about, and
	// how many bytes of that it stands for.
	Frame func(offset, length int64)

	head [headerSize]byte
	have int   // bytes of head that are there
	skip int64 // bytes of payload still to come
}

// Write implements io.Writer.
func (m *Meter) Write(p []byte) (int, error) {
	n, err := m.W.Write(p)
	for rest := p[:n]; len(rest) > 0; {
		if m.skip > 0 {
			k := min(m.skip, int64(len(rest)))
			rest, m.skip = rest[k:], m.skip-k
			continue
		}
		k := copy(m.head[m.have:], rest)
		rest, m.have = rest[k:], m.have+k
		if m.have < headerSize {
			break
		}
		m.have = 0
		h, err := parseHeader(m.head[:])
		if err != nil {
			m.skip = 1<<63 - 1 // not a stream; the receiver will say so
			break
		}
		m.skip = int64(h.coded)
		if h.typ != typeEnd && m.Frame != nil {
			m.Frame(h.offset, int64(h.raw))
		}
	}
	return n, err
}
