package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/xenhost/xenhost/migrate/replica"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
)

// maxCalls is how many calls a connection may have open at once.
const maxCalls = 64

// ServeOptions changes how Serve works; nil is the defaults.
type ServeOptions struct {
	Keepalive Keepalive
	Log       *slog.Logger // a line a refused call at Info, yamux's own at Debug; nil is silent
}

// Serve answers one connection with this host's verbs until the peer closes
// it (nil), it breaks, or ctx ends. It first fences again what was handed away
// (host.Host.Refence). Who may connect is the connection's
// business: whoever can speak here can do with the guests what this process
// can. What arrives is checked all the same: names, sizes, epochs, records,
// lengths.
//
// Guests that the peer held are given back when Serve returns, which is when
// the last call has ended: a copy is broken off, a change of a volume, a
// record or a domain is finished first.
func Serve(ctx context.Context, h *host.Host, conn io.ReadWriteCloser, opts *ServeOptions) error {
	if opts == nil {
		opts = &ServeOptions{}
	}
	log := opts.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	line := pump(conn)
	if err := greet(ctx, line, 30*time.Second); err != nil {
		line.Close()
		return &Error{Op: "serve", Name: h.Name(), Err: err}
	}
	mux, err := yamux.Server(line, muxConfig(log))
	if err != nil {
		line.Close()
		return &Error{Op: "serve", Name: h.Name(), Err: err}
	}
	go line.pulse.watch(mux, opts.Keepalive)
	if _, err := h.Refence(ctx); err != nil {
		log.Warn("what was handed away could not be fenced again", "err", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	stopWatch := context.AfterFunc(ctx, func() { mux.Close() })
	s := &session{host: h, log: log, holds: make(map[uint64]*held), keeps: make(map[uint64]*replica.Local)}
	err = s.accept(ctx, mux)
	cancel()
	s.calls.Wait()
	if stopWatch() { // else ctx's end is closing it, which a conn that can not be closed may hold up
		mux.Close()
	}
	switch {
	case line.pulse.stopped.Load():
		err = fmt.Errorf("%w: no sign of life", ErrUnreachable)
	case errors.Is(err, io.EOF) || errors.Is(err, yamux.ErrSessionShutdown):
		return nil
	}
	return &Error{Op: "serve", Name: h.Name(), Err: err}
}

// session is one connection, at the serving side.
type session struct {
	host  *host.Host
	log   *slog.Logger
	calls sync.WaitGroup

	mu     sync.Mutex
	open   int
	known  bool   // hello was said
	peer   string // the name that it said; "" is no host
	lastID uint64
	holds  map[uint64]*held
	keeps  map[uint64]*replica.Local
}

func (s *session) accept(ctx context.Context, mux *yamux.Session) error {
	for {
		stream, err := mux.AcceptStream()
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.open++
		full := s.open > maxCalls
		s.mu.Unlock()
		s.calls.Go(func() {
			defer func() {
				s.mu.Lock()
				s.open--
				s.mu.Unlock()
			}()
			if full {
				_ = writeMessage(stream, reply{Error: toWire(fmt.Errorf("%w: more than %d calls at once", ErrProtocol, maxCalls))})
				stream.Close()
				return
			}
			s.call(ctx, stream)
		})
	}
}

// call answers one stream.
func (s *session) call(ctx context.Context, stream *yamux.Stream) {
	defer stream.Close()
	_ = stream.SetReadDeadline(time.Now().Add(30 * time.Second))
	var req request
	if err := readMessage(stream, maxRequest, &req); err != nil {
		s.log.Info("refused a call", "err", err)
		_ = writeMessage(stream, reply{Error: toWire(fmt.Errorf("%w: no request: %w", ErrProtocol, err))})
		return
	}
	_ = stream.SetReadDeadline(time.Time{})
	result, err := s.answer(ctx, req, stream)
	var r reply
	if err == nil {
		r.Result, err = json.Marshal(result)
	}
	if err != nil {
		s.log.Info("refused a call", "verb", req.Verb, "err", err)
		r = reply{Error: toWire(err)}
	}
	_ = writeMessage(stream, r) // whoever does not hear it is gone
}

// answer runs a verb. Its context ends with the connection; while the verb
// takes no bulk data also when the caller gives the call up.
func (s *session) answer(ctx context.Context, req request, stream *yamux.Stream) (any, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	switch req.Verb {
	case verbProvision, verbAccept, verbLearn, verbHold, verbEmit, verbAbsorb, verbKeep, verbPush: // they read the stream themselves
	default:
		go func() { // ends with the call: see the deadline below
			var b [1]byte
			_, _ = stream.Read(b[:])
			cancel()
		}()
		defer func() { _ = stream.SetReadDeadline(time.Unix(1, 0)) }()
	}
	if req.Verb == verbHello {
		return s.hello(req)
	}
	s.mu.Lock()
	known := s.known
	s.mu.Unlock()
	if !known {
		return nil, fmt.Errorf("%w: %q before hello", ErrProtocol, req.Verb)
	}
	switch req.Verb {
	case verbInfo, verbGuests, verbGuest, verbFind, verbProvision, verbStart, verbStop, verbTerminate:
		return s.hostVerb(ctx, req, stream)
	case verbHold:
		return s.hold(ctx, req, stream)
	case verbPromote, verbKept, verbKeep, verbBegin, verbPush, verbConfirm, verbCopySum:
		return s.replicaVerb(ctx, req, stream)
	}
	return s.heldVerb(ctx, req, stream)
}

func (s *session) hello(req request) (any, error) {
	a, err := args[helloArgs](req)
	if err != nil {
		return nil, err
	}
	if a.Version != version {
		return nil, fmt.Errorf("%w: version %d, this host speaks %d", ErrProtocol, a.Version, version)
	}
	if a.Name != "" {
		if !xen.ValidName(a.Name) {
			return nil, fmt.Errorf("%w: the peer says that its name is %q", ErrProtocol, a.Name)
		}
		if a.Name == s.host.Name() {
			return nil, fmt.Errorf("%w: both hosts are called %s", host.ErrInvalid, a.Name)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known, s.peer = true, a.Name
	return helloArgs{Version: version, Name: s.host.Name()}, nil
}

// args reads a verb's arguments.
func args[T any](req request) (T, error) {
	var a T
	if err := json.Unmarshal(req.Args, &a); err != nil {
		return a, fmt.Errorf("%w: arguments of %s: %w", ErrProtocol, req.Verb, err)
	}
	return a, nil
}

// greet sends the magic and wants it back. conn is closed if that takes too
// long, since nothing else ends a Read on it.
func greet(ctx context.Context, conn io.ReadWriteCloser, within time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("%w: nothing was heard within %s", ErrUnreachable, within))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	wrote := make(chan error, 1)
	go func() {
		_, err := io.WriteString(conn, magic)
		wrote <- err
	}()
	got := make([]byte, len(magic))
	n, err := io.ReadFull(conn, got)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil && n > 0:
		return fmt.Errorf("%w: it said only %q", ErrProtocol, got[:n])
	case err != nil:
		return fmt.Errorf("%w: it ended at once: %w", ErrUnreachable, err)
	case string(got) != magic:
		return fmt.Errorf("%w: it began with %q", ErrProtocol, got)
	}
	select {
	case err = <-wrote:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	return err
}
