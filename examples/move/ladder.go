package main

import (
	"fmt"
	"os"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/handover"
)

// ladder shows a move's steps: a line each, and on a terminal a progress bar
// for those that move bytes.
type ladder struct {
	out  *os.File
	bars bool
	at   handover.Step
	bar  *cli.Bar
}

// progress is migrate.Options.Progress.
func (l *ladder) progress(e migrate.Event) {
	if e.Step != l.at {
		l.end()
		l.at = e.Step
		fmt.Fprintln(l.out, e.Step)
	}
	if e.Total == 0 || !l.bars {
		return
	}
	if l.bar == nil {
		l.bar = cli.NewBar(l.out, string(e.Step.Name)+" "+e.Step.Dev, e.Total)
	}
	l.bar.Set(e.Done)
}

// end takes the present bar away.
func (l *ladder) end() {
	if l.bar != nil {
		l.bar.Done()
		l.bar = nil
	}
}
