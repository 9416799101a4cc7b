package xentest

import (
	"context"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/google/uuid"
)

// tty is a console: two queues of bytes.
type tty struct {
	mu    sync.Mutex
	moved *sync.Cond
	out   []byte // written by the guest
	in    []byte // written to the guest
	echos bool   // nobody reads in: it comes back
	down  bool   // the guest goes down: it reads no more
	over  bool   // its domain is gone
}

func newTTY() *tty {
	t := &tty{}
	t.moved = sync.NewCond(&t.mu)
	return t
}

// most is how much a console keeps of what nobody reads.
const most = 64 << 10

func (t *tty) end() { t.set(&t.over) }

func (t *tty) set(flag *bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*flag = true
	t.moved.Broadcast()
}

// echo prints a greeting and from then on gives back what is written.
func (t *tty) echo(greeting string) {
	t.mu.Lock()
	t.echos = true
	t.mu.Unlock()
	t.put(&t.out, []byte(greeting))
}

func (t *tty) put(queue *[]byte, p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*queue = append(*queue, p...)
	*queue = (*queue)[max(0, len(*queue)-most):]
	t.moved.Broadcast()
}

// take waits for data in queue, or for one of the ends.
func (t *tty) take(queue *[]byte, p []byte, end, closed *bool) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(*queue) == 0 && !*end && !*closed {
		t.moved.Wait()
	}
	switch {
	case *closed:
		return 0, os.ErrClosed
	case len(*queue) == 0:
		return 0, io.EOF
	}
	n := copy(p, *queue)
	*queue = (*queue)[n:]
	return n, nil
}

// guestSide is what the Program has of it.
type guestSide struct{ *tty }

func (g guestSide) Read(p []byte) (int, error) { return g.take(&g.in, p, &g.down, new(bool)) }

func (g guestSide) Write(p []byte) (int, error) {
	g.put(&g.out, p)
	return len(p), nil
}

// hostSide is what Console returns.
type hostSide struct {
	*tty
	closed bool // guarded by mu
}

func (h *hostSide) Read(p []byte) (int, error) { return h.take(&h.out, p, &h.over, &h.closed) }

func (h *hostSide) Write(p []byte) (int, error) {
	h.mu.Lock()
	closed, over, echos := h.closed, h.over, h.echos
	h.mu.Unlock()
	switch {
	case closed:
		return 0, os.ErrClosed
	case over:
		return 0, io.ErrClosedPipe
	case echos:
		h.put(&h.out, p)
	default:
		h.put(&h.in, p)
	}
	return len(p), nil
}

func (h *hostSide) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return os.ErrClosed
	}
	h.closed = true
	h.moved.Broadcast()
	return nil
}

// Console implements xen.Consoler. The other side is Guest.Console; a guest
// without a Program prints "NAME login: " and echoes.
func (f *Fake) Console(ctx context.Context, id uuid.UUID) (c io.ReadWriteCloser, err error) {
	err = f.doOn(ctx, "console", id.String(), id, func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		d := f.find(id)
		if d == nil {
			return fs.ErrNotExist
		}
		c = &hostSide{tty: d.guest.console}
		return nil
	})
	return c, err
}
