package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Target stands beside xl migrate-receive: xl is its two pipes, wire leads to
// Join. It returns nil when xl has reported that the domain runs and the mover
// was told.
func Target(ctx context.Context, xl, wire io.ReadWriter, opts *Options) (Stats, error) {
	t := &target{part: newPart(opts), xl: xl, line: newLine("mover", wire), given: make(chan struct{})}
	var err error
	if t.unpacker, err = newUnpacker(xl); err != nil {
		return Stats{}, err
	}
	stop := context.AfterFunc(ctx, func() { t.end(context.Cause(ctx)) })
	defer stop()
	t.keep(t.line)
	heard := make(chan struct{})
	t.run(func() error {
		defer close(heard)
		return t.hear()
	})
	t.run(t.speak)
	<-t.done
	var stats Stats
	select {
	case <-heard: // else it may still be at work
		stats = t.unpacker.stats
	default:
	}
	stats.Wire = t.line.out.total()
	if t.err != nil && !errors.Is(t.err, errGone) {
		t.report(t.err)
	}
	return stats, t.err
}

// report tells the mover why, unless the line does not take it.
func (t *target) report(why error) {
	words := []byte(why.Error())
	said := make(chan struct{})
	go func() {
		defer close(said)
		_ = t.line.out.send(kindFailed, words[:min(len(words), maxWords)])
	}()
	late := time.NewTimer(t.opts.Every)
	defer late.Stop()
	select {
	case <-said:
	case <-late.C:
	}
}

var errGone = errors.New("the other side is gone")

type target struct {
	*part
	xl       io.ReadWriter
	line     *line
	unpacker *unpacker
	given    chan struct{} // closed when xl is told that the domain is ours
}

// hear gives xl the domain and the word that it is ours.
func (t *target) hear() error {
	defer t.unpacker.close()
	for {
		f, err := t.line.next()
		if err != nil {
			return fmt.Errorf("%w: %w", errGone, err)
		}
		switch f.kind {
		case kindPlain, kindPacked, kindZeros:
			if err := t.unpacker.unpack(f); err != nil {
				return fmt.Errorf("xl migrate-receive: %w", err)
			}
			if t.opts.Progress != nil {
				t.opts.Progress(t.unpacker.stats)
			}
		case kindGo:
			if err := t.check(); err != nil {
				return err
			}
			close(t.given)
			if _, err := io.WriteString(t.xl, SayGo); err != nil {
				return fmt.Errorf("xl migrate-receive: %w", err)
			}
			return nil
		default:
			return fmt.Errorf("%w: frame %d from the source", ErrProtocol, f.kind)
		}
	}
}

// speak tells the mover what xl says.
func (t *target) speak() error {
	for _, w := range []struct {
		words string
		kind  kind
	}{{SayBanner, kindHello}, {SayReady, kindReady}} {
		if err := expect(t.xl, w.words); err != nil {
			return fmt.Errorf("xl migrate-receive: %w", err)
		}
		if err := t.line.out.send(w.kind, nil); err != nil {
			return fmt.Errorf("%w: %w", errGone, err)
		}
	}
	if err := expect(t.xl, SayReport); err != nil {
		return fmt.Errorf("xl migrate-receive: %w", err)
	}
	var code [1]byte
	if _, err := io.ReadFull(t.xl, code[:]); err != nil {
		return fmt.Errorf("xl migrate-receive: its report: %w", err)
	}
	if code[0] != 0 {
		return fmt.Errorf("%w: xl migrate-receive reports %d", ErrTarget, code[0])
	}
	select {
	case <-t.given:
	default:
		return fmt.Errorf("%w: xl migrate-receive reports before it was given the domain", ErrProtocol)
	}
	if err := t.line.out.send(kindRuns, nil); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	t.end(nil)
	return nil
}
