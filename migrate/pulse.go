package migrate

import (
	"io"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
)

// pulse is what moves on a connection, and so what tells a dead one from a
// slow one: a ping can wait behind megabytes of a copy that a slow line or a
// busy host has still to take, for longer than any sensible time-out.
type pulse struct {
	in, out atomic.Int64 // bytes since the start
	stopped atomic.Bool  // watch gave the connection up
}

// leaves is how much has to leave to be a sign of life. Less than that, a few
// pings, a dead line's buffers take for hours.
const leaves = 64 << 10

// watch pings the peer, and closes mux when nothing has moved for k.Every and
// then k.Within: nothing arrived, and what was to leave did not. It returns
// when mux has ended.
func (p *pulse) watch(mux *yamux.Session, k Keepalive) {
	k = k.withDefaults()
	tick := time.NewTicker(k.Every)
	defer tick.Stop()
	last, in, out := time.Now(), int64(0), int64(0)
	asked := make(chan struct{}, 1) // a ping is under way
	for {
		select {
		case <-mux.CloseChan():
			return
		case <-tick.C:
		}
		if i, o := p.in.Load(), p.out.Load(); i > in || o-out >= leaves {
			last, in, out = time.Now(), i, o
		}
		if time.Since(last) >= k.Every+k.Within {
			p.stopped.Store(true)
			mux.Close()
			return
		}
		select {
		case asked <- struct{}{}:
			go func() {
				_, _ = mux.Ping() // its answer is a byte that arrives; it ends with mux
				<-asked
			}()
		default:
		}
	}
}

// counted adds what passes to n.
type counted struct {
	io.ReadWriter
	p *pulse
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.ReadWriter.Read(b)
	c.p.in.Add(int64(n))
	return n, err
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.ReadWriter.Write(b)
	c.p.out.Add(int64(n))
	return n, err
}
