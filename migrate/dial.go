package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
)

// DialOptions changes how Dial works; nil is the defaults.
type DialOptions struct {
	// Name is the name of the host that dials. A panel, which is none, leaves
	// it empty.
	Name      string
	Keepalive Keepalive
	// Within is how long it may take until the other side has answered the
	// first call, ssh's handshake and what Serve does first included; 0 is two
	// minutes.
	Within time.Duration
	Log    *slog.Logger // yamux's lines at Debug; nil is silent
}

// Remote is a host at the other end of a connection. It is safe for concurrent
// use. When the connection ends, its calls end with ErrUnreachable, and what
// they were about to change there may have been changed or not.
//
// A call that is given up through its context is given up there too if it
// looks, copies or is a verb of Operator; the steps of a hand-over are
// finished there.
type Remote struct {
	mux  *yamux.Session
	line *pulse
	name string
}

// Dial says hello over a connection to another host's Serve. The Remote owns
// conn from now on, also after an error; Close closes it.
func Dial(ctx context.Context, conn io.ReadWriteCloser, opts *DialOptions) (*Remote, error) {
	r, err := dial(ctx, conn, opts)
	if err != nil {
		return nil, &Error{Op: "dial", Name: "host", Err: err}
	}
	return r, nil
}

func dial(ctx context.Context, conn io.ReadWriteCloser, opts *DialOptions) (*Remote, error) {
	if opts == nil {
		opts = &DialOptions{}
	}
	log, within := opts.Log, opts.Within
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if within == 0 {
		within = 2 * time.Minute
	}
	line := pump(conn)
	if err := greet(ctx, line, within); err != nil {
		line.Close()
		return nil, err
	}
	mux, err := yamux.Client(line, muxConfig(log))
	if err != nil {
		line.Close()
		return nil, err
	}
	go line.pulse.watch(mux, opts.Keepalive)
	r := &Remote{mux: mux, line: &line.pulse, name: "the other host"}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var hello helloArgs
	err = r.call(ctx, call{verb: verbHello, args: helloArgs{Version: version, Name: opts.Name}, result: &hello})
	if err == nil && !xen.ValidName(hello.Name) {
		err = fmt.Errorf("%w: it says that its name is %q", ErrProtocol, hello.Name)
	}
	if err == nil && hello.Name == opts.Name {
		err = fmt.Errorf("%w: both hosts are called %s", host.ErrInvalid, opts.Name)
	}
	if err != nil {
		mux.Close()
		return nil, err
	}
	r.name = hello.Name
	return r, nil
}

// Close ends the connection. Guests that are held through it are given back.
func (r *Remote) Close() error { return r.mux.Close() }

// Done is closed when the connection has ended.
func (r *Remote) Done() <-chan struct{} { return r.mux.CloseChan() }

// call is one call, at the side that makes it.
type call struct {
	verb   string
	hold   uint64
	args   any
	up     func(io.Writer) error // sends bulk data behind the request
	down   io.Writer             // takes bulk data before the reply
	result any                   // pointer, or nil
}

func (r *Remote) call(ctx context.Context, c call) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	stream, err := r.mux.OpenStream()
	if err != nil {
		return r.lost(err)
	}
	defer stream.Close()
	stop := context.AfterFunc(ctx, func() {
		stream.Close() // tells the other side
		_ = stream.SetDeadline(time.Unix(1, 0))
	})
	defer stop()
	err = r.talk(stream, c)
	var said *remoteError
	switch {
	case err == nil || errors.As(err, &said):
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %s: %w", r.name, c.verb, ctx.Err())
	}
	return err
}

func (r *Remote) talk(stream *yamux.Stream, c call) error {
	if err := send(stream, c); err != nil {
		return r.lost(err)
	}
	sent := make(chan error, 1)
	if c.up == nil {
		sent <- nil
	} else {
		go func() {
			err := c.up(stream)
			if err != nil {
				stream.Close() // half of it is no answer's worth; an answer may be on its way
			}
			sent <- err
		}()
	}
	if c.down != nil {
		if _, err := io.Copy(c.down, &chunkReader{r: stream}); err != nil {
			return r.lost(err)
		}
	}
	var rep reply
	err := readMessage(stream, maxReply, &rep)
	_ = stream.Close() // ends an upload that nobody reads any more
	upErr := <-sent
	var own *readError
	switch {
	case errors.As(upErr, &own):
		return own.err // the cause of whatever the other side says
	case err != nil:
		return r.lost(err)
	case rep.Error != nil:
		return rep.Error.arrived(r.name)
	case c.result == nil:
		return nil
	}
	if err := json.Unmarshal(rep.Result, c.result); err != nil {
		return fmt.Errorf("%w: %s: the answer to %s: %w", ErrProtocol, r.name, c.verb, err)
	}
	return nil
}

func send(w io.Writer, c call) error {
	req := request{Verb: c.verb, Hold: c.hold}
	var err error
	if c.args != nil {
		if req.Args, err = json.Marshal(c.args); err != nil {
			return err
		}
	}
	if len(req.Args) > maxRequest-1024 {
		return fmt.Errorf("%w: the request %s has %d bytes", ErrProtocol, c.verb, len(req.Args))
	}
	return writeMessage(w, req)
}

// lost is an error of the connection, not of the other host.
func (r *Remote) lost(err error) error {
	if errors.Is(err, ErrProtocol) {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	if r.line.stopped.Load() {
		return fmt.Errorf("%s: %w: no sign of life", r.name, ErrUnreachable)
	}
	return fmt.Errorf("%s: %w: %w", r.name, ErrUnreachable, err)
}
