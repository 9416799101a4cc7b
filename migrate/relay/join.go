package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Gate is what the mover does when a word stands before it. Each function is
// called at most once, in this order, in the goroutine of Join; the word passes
// when it returns nil. Its ctx ends when the migration does.
type Gate struct {
	// Ready: the domain is suspended at the source and its copy is complete and
	// paused at the target. Until this returns nil, all can go back.
	Ready func(ctx context.Context) error
	// Go: the source's xl has lost its power over the domain. Nobody runs it.
	Go func(ctx context.Context) error
	// Runs: it runs at the target.
	Runs func(ctx context.Context) error
}

// Join connects the Source at one end with the Target at the other. nil: the
// domain runs at the target, and the source was told.
func Join(ctx context.Context, source, target io.ReadWriter, gate Gate, opts *Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	j := &join{
		part: newPart(opts), source: newLine("source", source), target: newLine("target", target),
		words: make(chan word),
	}
	stop := context.AfterFunc(ctx, func() { j.end(context.Cause(ctx)) })
	defer stop()
	defer j.end(errEnded) // also when the gate ends this goroutine
	j.keep(j.source)
	j.keep(j.target)
	j.run(j.fromSource)
	j.run(j.fromTarget)
	go func() {
		<-j.done
		cancel()
	}()
	for _, step := range []struct {
		word kind
		gate func(context.Context) error
		to   *line
	}{
		{kindReady, gate.Ready, j.source},
		{kindGo, gate.Go, j.target},
		{kindRuns, gate.Runs, j.source},
	} {
		passed, err := j.await(step.word)
		if err != nil {
			return err
		}
		if step.word == kindRuns {
			ctx = context.WithoutCancel(ctx) // the target may hang up now
		}
		if step.gate != nil {
			if err := step.gate(ctx); err != nil {
				return err
			}
		}
		if err := step.to.out.send(step.word, nil); err != nil {
			return fmt.Errorf("%s: %w", step.to.name, err)
		}
		if step.word != kindRuns {
			close(passed)
		}
	}
	return nil
}

var errEnded = errors.New("it is over")

type join struct {
	*part
	source, target *line
	words          chan word
}

// word is one that waits before the gate.
type word struct {
	kind   kind
	passed chan struct{}
}

// await returns when the word has arrived.
func (j *join) await(expected kind) (passed chan struct{}, err error) {
	select {
	case got := <-j.words:
		if got.kind != expected {
			return nil, fmt.Errorf("%w: frame %d comes where %d belongs", ErrProtocol, got.kind, expected)
		}
		return got.passed, nil
	case <-j.done:
		return nil, j.err
	}
}

// halt gives a word to Join and returns when it has passed.
func (j *join) halt(k kind) {
	w := word{kind: k, passed: make(chan struct{})}
	select {
	case j.words <- w:
	case <-j.done:
		return
	}
	select {
	case <-w.passed:
	case <-j.done:
	}
}

func (j *join) fromSource() error {
	for {
		f, err := j.source.next()
		if err != nil {
			return err
		}
		switch f.kind {
		case kindPlain, kindPacked, kindZeros:
			if err := j.target.out.send(f.kind, f.body); err != nil {
				return fmt.Errorf("target: %w", err)
			}
		case kindGo:
			j.halt(kindGo)
		default:
			return fmt.Errorf("source: %w: frame %d", ErrProtocol, f.kind)
		}
	}
}

func (j *join) fromTarget() error {
	for {
		f, err := j.target.next()
		if err != nil {
			return err
		}
		switch f.kind {
		case kindHello:
			if err := j.source.out.send(kindHello, nil); err != nil {
				return fmt.Errorf("source: %w", err)
			}
		case kindReady, kindRuns:
			j.halt(f.kind)
		case kindFailed:
			return fmt.Errorf("%w: %q", ErrTarget, f.body)
		default:
			return fmt.Errorf("target: %w: frame %d", ErrProtocol, f.kind)
		}
	}
}
