package relay

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Options changes how a part works; nil is the defaults.
type Options struct {
	// Every is how often a part gives a sign of life; 0 is 1 s.
	Every time.Duration
	// Within is how long nothing may be heard; 0 is 15 s. It does not count
	// while a part is busy with what it has heard.
	Within time.Duration
	// Check is asked by Source before "ready" goes to its xl, and by Target
	// before "yours" does: its error ends the part there. A host that looks at
	// its own record here does not depend on the mover's care. nil asks nobody.
	Check func() error
	// Progress is called, by one goroutine, when bytes of the domain went
	// through a Source or a Target. It must not block.
	Progress func(Stats)
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	if d.Every <= 0 {
		d.Every = time.Second
	}
	if d.Within <= 0 {
		d.Within = 15 * time.Second
	}
	return d
}

// line is one connection to another part.
type line struct {
	name    string
	r       io.Reader
	out     sender
	waiting atomic.Bool  // for the next frame
	heard   atomic.Int64 // frames
	buf     []byte
}

func newLine(name string, wire io.ReadWriter) *line {
	return &line{name: name, r: wire, out: sender{w: wire}}
}

// next returns the next frame that is more than a sign of life. Its body is
// good until the next call.
func (l *line) next() (frame, error) {
	for {
		l.waiting.Store(true)
		f, err := readFrame(l.r, l.buf)
		l.waiting.Store(false)
		if err != nil {
			return f, fmt.Errorf("%s: %w", l.name, err)
		}
		l.heard.Add(1)
		if f.body != nil {
			l.buf = f.body
		}
		if f.kind != kindPing {
			return f, nil
		}
	}
}

// part is a set of goroutines that end with the first error of one of them.
type part struct {
	opts Options
	done chan struct{}
	once sync.Once
	err  error // behind done
}

func newPart(opts *Options) *part {
	return &part{opts: opts.withDefaults(), done: make(chan struct{})}
}

// end ends the part; only the first call counts.
func (p *part) end(err error) {
	p.once.Do(func() {
		p.err = err
		close(p.done)
	})
}

// run does work beside the caller's and ends the part if it fails.
func (p *part) run(work func() error) {
	go func() {
		if err := work(); err != nil {
			p.end(err)
		}
	}()
}

// keep gives signs of life on a line, and notices when there are none.
func (p *part) keep(l *line) {
	p.run(func() error {
		return p.tick(func() error {
			if err := l.out.ping(); err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
			return nil
		})
	})
	last, since := int64(-1), time.Now()
	p.run(func() error {
		return p.tick(func() error {
			now := l.heard.Load()
			if now != last || !l.waiting.Load() {
				last, since = now, time.Now()
				return nil
			}
			if time.Since(since) > p.opts.Within {
				return fmt.Errorf("%s: %w for %s", l.name, ErrSilent, p.opts.Within)
			}
			return nil
		})
	})
}

// tick calls work every Every until the part ends.
func (p *part) tick(work func() error) error {
	t := time.NewTicker(p.opts.Every)
	defer t.Stop()
	for {
		select {
		case <-p.done:
			return nil
		case <-t.C:
			if err := work(); err != nil {
				return err
			}
		}
	}
}
