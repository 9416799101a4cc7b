package blockcopy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
)

// Target is what a request may write to.
type Target struct {
	Volume interface {
		io.ReaderAt
		Volume
	}
	Fresh   bool     // it reads as zeros
	Replica *Replica // of Volume; nil: written in place
	// Stage leaves a delta for Replica.Apply; the volume stays as it was.
	Stage bool
	Close func() error
}

// Serve answers one Push on conn, until that ends the connection. open decides
// what the sender may write to: it is as hostile as whoever can reach conn.
//
// When ctx ends, Serve returns as soon as a Read or Write that is under way
// does: close conn to end that. What has arrived by then is kept.
func Serve(ctx context.Context, conn io.ReadWriter, open func(context.Context, Request) (*Target, error)) error {
	s := session{in: bufio.NewReaderSize(conn, 128<<10), out: conn}
	err := s.serve(ctx, open)
	if s.target != nil {
		err = errors.Join(err, s.target.Close())
	}
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

type session struct {
	in     *bufio.Reader
	out    io.Writer
	size   int64
	target *Target
}

func (s *session) serve(ctx context.Context, open func(context.Context, Request) (*Target, error)) error {
	if err := readGreeting(s.in); err != nil {
		return err
	}
	if _, err := io.WriteString(s.out, greeting); err != nil {
		return err
	}
	for {
		var req request
		err := readMessage(s.in, &req)
		if errors.Is(err, io.EOF) {
			return nil
		}
		var answer *reply
		if err == nil {
			answer, err = s.answer(ctx, req, open)
		}
		if err != nil {
			return errors.Join(err, writeMessage(s.out, reply{Error: newWireError(err)}))
		}
		if answer == nil {
			continue
		}
		if err := writeMessage(s.out, answer); err != nil {
			return err
		}
	}
}

func (s *session) answer(ctx context.Context, req request, open func(context.Context, Request) (*Target, error)) (*reply, error) {
	if (req.Verb == verbOpen) != (s.target == nil) {
		return nil, fmt.Errorf("%w: %q is not asked now", ErrStream, req.Verb)
	}
	switch {
	case req.Verb == verbOpen && req.Open != nil && req.Open.Size >= 0:
		return s.open(ctx, *req.Open, open)
	case req.Verb == verbHashes && req.Offset >= 0 && req.Offset <= s.size && req.Offset%ExtentSize == 0 && req.Length >= 0 && req.Length <= s.size-req.Offset:
		out := bufio.NewWriterSize(s.out, 64<<10)
		part := io.NewSectionReader(s.target.Volume, req.Offset, req.Length)
		if err := Hashes(ctx, out, part, req.Length, req.Key); err != nil {
			return nil, err
		}
		return nil, out.Flush()
	case req.Verb == verbReceive && req.Transfer != nil:
		stats, err := s.receive(ctx, *req.Transfer)
		return &reply{Stats: &stats}, err
	case req.Verb == verbSum:
		sum, err := Sum(ctx, s.target.Volume, s.size)
		return &reply{Sum: sum[:]}, err
	case req.Verb == verbClose:
		err := s.target.Close()
		s.target = nil
		return &reply{}, err
	}
	return nil, fmt.Errorf("%w: a request %q", ErrStream, req.Verb)
}

func (s *session) open(ctx context.Context, r Request, open func(context.Context, Request) (*Target, error)) (*reply, error) {
	target, err := open(ctx, r)
	if err != nil {
		return nil, err
	}
	s.target, s.size = target, r.Size
	if n := target.Volume.Size(); n != r.Size {
		return nil, fmt.Errorf("%w: the target has %d bytes, the source %d", ErrSize, n, r.Size)
	}
	o := offer{Fresh: target.Fresh || r.Fresh}
	if target.Replica != nil {
		o.Generation = target.Replica.Generation()
		if o.Pending, err = target.Replica.Pending(ctx); err != nil {
			return nil, err
		}
		if target.Replica.begun() {
			o.Fresh = false // whoever said so does not know that a copy was begun here
		}
	}
	return &reply{Offer: &o}, nil
}

func (s *session) receive(ctx context.Context, t Transfer) (Stats, error) {
	if r := s.target.Replica; r != nil {
		if s.target.Stage {
			return r.Stage(ctx, s.in, t)
		}
		return r.Receive(ctx, s.in, t)
	}
	if t.From != (Point{}) || t.Base != (Generation{}) {
		return Stats{}, fmt.Errorf("%w: the target keeps no generations", ErrBase)
	}
	return Receive(ctx, s.in, s.target.Volume, t, nil)
}
