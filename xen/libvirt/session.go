package libvirt

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	rpc "github.com/digitalocean/go-libvirt"
)

// maxIdle is how many connections wait for the next call.
const maxIdle = 4

// hangUp bounds the goodbye to a daemon.
const hangUp = 2 * time.Second

// session is one connection to the daemon. A call has it alone, so that it can
// be dropped without harm to others.
type session struct {
	*rpc.Libvirt
	conn net.Conn
}

// do does work, and drops the connection when ctx ends first: everything that
// waits for it is then woken, so work returns.
func (s *session) do(ctx context.Context, work func(*rpc.Libvirt) error) (usable bool, err error) {
	stop := context.AfterFunc(ctx, func() { _ = s.conn.Close() })
	err = work(s.Libvirt)
	if stop() {
		return err == nil || answered(err), err
	}
	if err != nil && !answered(err) {
		err = fmt.Errorf("libvirtd did not answer in time: %w", ctx.Err())
	}
	return false, err
}

// sessions keeps connections between calls.
type sessions struct {
	dial func(ctx context.Context) (net.Conn, error)
	uri  string

	mu     sync.Mutex
	idle   []*session
	closed bool
}

// call does work on a connection of its own for at most limit, and classes its
// error.
func (d *Driver) call(ctx context.Context, limit time.Duration, work func(*rpc.Libvirt) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return d.callUntil(ctx, work)
}

// callUntil is call, until ctx ends.
func (d *Driver) callUntil(ctx context.Context, work func(*rpc.Libvirt) error) error {
	s, err := d.sessions.take(ctx)
	if err != nil {
		return explain(err)
	}
	usable, err := s.do(ctx, work)
	d.sessions.give(s, usable)
	return explain(err)
}

// take returns a connection that waits, or opens one.
func (p *sessions) take(ctx context.Context) (*session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for {
		s, err := p.waiting()
		if s == nil || err != nil {
			if err == nil {
				s, err = p.open(ctx)
			}
			return s, err
		}
		if s.IsConnected() {
			return s, nil
		}
		_ = s.conn.Close() // the daemon hung up meanwhile
	}
}

func (p *sessions) waiting() (*session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, net.ErrClosed
	}
	if len(p.idle) == 0 {
		return nil, nil
	}
	s := p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	return s, nil
}

// open connects, and says who calls and for which hypervisor.
func (p *sessions) open(ctx context.Context) (*session, error) {
	conn, err := p.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to libvirtd: %w", err)
	}
	conn = newFrames(conn)
	s := &session{Libvirt: rpc.NewWithDialer(dialed{conn}), conn: conn}
	usable, err := s.do(ctx, func(l *rpc.Libvirt) error { return l.ConnectToURI(rpc.ConnectURI(p.uri)) })
	if err != nil || !usable {
		_ = conn.Close()
		if err == nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("open %s: %w", p.uri, err)
	}
	return s, nil
}

// give puts a connection back, or hangs up.
func (p *sessions) give(s *session, usable bool) {
	p.mu.Lock()
	keep := usable && !p.closed && len(p.idle) < maxIdle
	if keep {
		p.idle = append(p.idle, s)
	}
	p.mu.Unlock()
	switch {
	case keep:
	case usable:
		_ = s.end()
	default:
		_ = s.conn.Close()
	}
}

func (p *sessions) close() error {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, s := range idle {
		_ = s.end() // nothing of ours is under way on it, so a failed goodbye loses nothing
	}
	return nil
}

// end says goodbye, so that the daemon logs no broken connection, and hangs up.
func (s *session) end() error {
	ctx, cancel := context.WithTimeout(context.Background(), hangUp)
	defer cancel()
	_, err := s.do(ctx, func(l *rpc.Libvirt) error { return l.Disconnect() })
	_ = s.conn.Close()
	return err
}

// dialed hands go-libvirt a connection that is there already.
type dialed struct{ conn net.Conn }

func (d dialed) Dial() (net.Conn, error) { return d.conn, nil }
