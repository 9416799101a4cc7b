package migrate

import (
	"io"
	"sync"
	"time"
)

// pumped is a connection whose Read and Write end with Close, whatever the
// connection below does: a process's own stdin is blocking, and closing it ends
// no Read. A dead peer would else keep its guests held.
type pumped struct {
	conn    io.ReadWriteCloser
	pulse   pulse
	in      *io.PipeReader
	out     *io.PipeWriter
	flushed chan struct{} // closed when nothing more is written to conn
	once    sync.Once
	err     error
}

// pump starts the two copiers of a connection. They end with the connection;
// only one that can not be closed keeps them.
func pump(conn io.ReadWriteCloser) *pumped {
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	p := &pumped{conn: conn, in: inR, out: outW, flushed: make(chan struct{})}
	line := counted{conn, &p.pulse}
	go func() {
		_, err := io.CopyBuffer(inW, struct{ io.Reader }{line}, make([]byte, 256<<10))
		inW.CloseWithError(err) // nil is io.EOF
	}()
	go func() {
		defer close(p.flushed)
		_, err := io.CopyBuffer(struct{ io.Writer }{line}, outR, make([]byte, 256<<10))
		outR.CloseWithError(err)
	}()
	return p
}

func (p *pumped) Read(b []byte) (int, error)  { return p.in.Read(b) }
func (p *pumped) Write(b []byte) (int, error) { return p.out.Write(b) }

// Close gives what was written a second to leave.
func (p *pumped) Close() error {
	p.once.Do(func() {
		p.in.Close()
		p.out.Close()
		late := time.NewTimer(time.Second)
		defer late.Stop()
		select {
		case <-p.flushed:
		case <-late.C:
		}
		p.err = p.conn.Close()
	})
	return p.err
}
