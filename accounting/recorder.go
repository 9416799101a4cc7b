package accounting

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Source has counters, as those of package meter.
type Source interface {
	// Name is that of its readings. A source that learns new metrics takes a new
	// one, or what its counters hold already would be billed.
	Name() string
	// Read reads all counters. An object that is left out is taken for gone.
	Read(ctx context.Context) ([]Sample, error)
}

// Moment is a time by the two clocks of a host; see Reading.
type Moment struct {
	Boot   string
	Uptime time.Duration
	Time   time.Time
}

// Recorder reads sources into a store. It is safe for concurrent use.
type Recorder struct {
	Store   Store
	Sources []Source
	Clock   func() (Moment, error) // meter.Clock on a host
	// Every is how often Run reads; 0 is a minute. After is called after each
	// reading, as for Enforcer.Enforce; nil is nothing.
	Every time.Duration
	After func(ctx context.Context) error
	Log   *slog.Logger // gets what went wrong; nil is silent

	mu sync.Mutex
}

// Record reads all sources once. One that fails is left out and reported; what
// it counts meanwhile is in its next reading. marks are flags for the rows of
// some guests. Whoever moves guests calls it with Left on the source, as late as
// the hooks of the move let it (migrate.Options.BeforeStop), and with Arrived on
// the target, once the guest is there (AfterStart).
func (r *Recorder) Record(ctx context.Context, marks map[uuid.UUID]Flags) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for i, s := range r.Sources {
		err := r.record(ctx, s, marks)
		if i == 0 {
			marks = nil // once is enough
		}
		if err != nil {
			errs = append(errs, &Error{Op: "read", Name: s.Name(), Err: err})
		}
	}
	return errors.Join(errs...)
}

func (r *Recorder) record(ctx context.Context, s Source, marks map[uuid.UUID]Flags) error {
	samples, err := s.Read(ctx)
	if err != nil {
		return err
	}
	now, err := r.Clock()
	if err != nil {
		return err
	}
	return r.Store.Fold(ctx, Reading{Source: s.Name(), Boot: now.Boot, Uptime: now.Uptime, Time: now.Time, Samples: samples, Marks: marks})
}

// Run reads until ctx ends, and returns its error; once more at the end, so that
// little is missing if the host goes down too. What fails is logged.
func (r *Recorder) Run(ctx context.Context) error {
	every := r.Every
	if every == 0 {
		every = time.Minute
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		r.once(ctx)
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			r.once(last)
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (r *Recorder) once(ctx context.Context) {
	err := r.Record(ctx, nil)
	if r.After != nil {
		err = errors.Join(err, r.After(ctx))
	}
	if err != nil && ctx.Err() == nil && r.Log != nil {
		r.Log.Error("accounting", "error", err)
	}
}
