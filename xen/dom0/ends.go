package dom0

import (
	"fmt"
	"sync"
)

// keep is how much of the start and of the end of stderr *Error carries.
const keep = 16 << 10

// ends is a writer that keeps the first and the last part of what is written.
type ends struct {
	mu   sync.Mutex
	head []byte
	tail []byte // the last bytes after head; at most 2*keep between writes
	lost int    // bytes between head and tail
}

// Write never fails.
func (e *ends) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := len(p)
	room := min(keep-len(e.head), len(p))
	e.head = append(e.head, p[:room]...)
	e.tail = append(e.tail, p[room:]...)
	if len(e.tail) > 2*keep {
		e.trim()
	}
	return n, nil
}

func (e *ends) trim() {
	if over := len(e.tail) - keep; over > 0 {
		e.lost += over
		e.tail = append(e.tail[:0], e.tail[over:]...)
	}
}

// String returns both parts, with a note between them of what is missing.
func (e *ends) String() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.trim()
	if e.lost == 0 {
		return string(e.head) + string(e.tail)
	}
	return fmt.Sprintf("%s\n[... %d bytes left out ...]\n%s", e.head, e.lost, e.tail)
}
