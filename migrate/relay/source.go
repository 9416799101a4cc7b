package relay

import (
	"context"
	"fmt"
	"io"
	"sync"
)

// Source stands beside xl migrate: xl is its two pipes, wire leads to Join. It
// returns nil when xl was told that the domain runs at the target, which is the
// end of the domain here. Any error before the word "yours" leaves xl to resume
// the domain, once its pipes are closed.
func Source(ctx context.Context, xl, wire io.ReadWriter, opts *Options) (Stats, error) {
	s := &source{part: newPart(opts), xl: xl, line: newLine("mover", wire)}
	var err error
	if s.packer, err = newPacker(&s.line.out); err != nil {
		return Stats{}, err
	}
	stop := context.AfterFunc(ctx, func() { s.end(context.Cause(ctx)) })
	defer stop()
	s.keep(s.line)
	s.run(s.hear)
	s.run(s.speak)
	<-s.done
	stats := s.told()
	stats.Wire = s.line.out.total()
	return stats, s.err
}

type source struct {
	*part
	xl     io.ReadWriter
	line   *line
	packer *packer

	mu    sync.Mutex
	ready bool // what xl says from now on are words
	stats Stats
}

// hear gives xl the target's words.
func (s *source) hear() error {
	expected := kindHello
	for {
		f, err := s.line.next()
		if err != nil {
			return err
		}
		if f.kind == kindFailed {
			return fmt.Errorf("%w: %s", ErrTarget, f.body)
		}
		if f.kind != expected {
			return fmt.Errorf("%w: frame %d comes where %d belongs", ErrProtocol, f.kind, expected)
		}
		words := SayBanner
		switch f.kind {
		case kindHello:
			expected = kindReady
		case kindReady:
			words, expected = SayReady, kindRuns
			if err := s.check(); err != nil {
				return err
			}
			s.mu.Lock()
			s.ready = true
			s.mu.Unlock()
		case kindRuns:
			words = SayReport + "\x00"
		}
		if _, err := io.WriteString(s.xl, words); err != nil {
			return fmt.Errorf("xl migrate: %w", err)
		}
		if f.kind == kindRuns {
			s.end(nil)
			return nil
		}
	}
}

func (p *part) check() error {
	if p.opts.Check == nil {
		return nil
	}
	return p.opts.Check()
}

// speak sends what xl says: the domain, then one word.
func (s *source) speak() error {
	defer s.packer.close()
	buf := make([]byte, maxPlain)
	for {
		n, err := s.xl.Read(buf)
		s.mu.Lock()
		ready := s.ready
		s.mu.Unlock()
		switch {
		case ready:
			if err := s.yours(buf[:n], err); err != nil {
				return fmt.Errorf("xl migrate: %w", err)
			}
			return s.line.out.send(kindGo, nil)
		case n > 0:
			if err := s.packer.pack(buf[:n]); err != nil {
				return fmt.Errorf("mover: %w", err)
			}
			s.tell()
		}
		if err != nil {
			return fmt.Errorf("xl migrate: %w", err)
		}
	}
}

func (s *source) tell() {
	s.mu.Lock()
	s.stats = s.packer.stats
	now := s.stats
	s.mu.Unlock()
	if s.opts.Progress != nil {
		now.Wire = s.line.out.total()
		s.opts.Progress(now)
	}
}

func (s *source) told() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// yours reads the word of which got is the beginning.
func (s *source) yours(got []byte, err error) error {
	word := make([]byte, len(SayGo))
	n := copy(word, got)
	if err == nil && n < len(word) {
		var more int
		more, err = io.ReadFull(s.xl, word[n:])
		n += more
	}
	switch {
	case n < len(word) && err != nil:
		return err
	case string(word) != SayGo || len(got) > len(word):
		return fmt.Errorf("%w: %q comes where %q belongs", ErrProtocol, word, SayGo)
	}
	return nil
}
