package cli

import (
	"os"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// Bar is a progress bar in bytes. Where no terminal shows it, it does nothing.
type Bar struct {
	all *mpb.Progress
	bar *mpb.Bar
}

// NewBar starts a bar on f; total 0 is unknown.
func NewBar(f *os.File, name string, total int64) *Bar {
	if !IsTerminal(f) {
		return &Bar{}
	}
	all := mpb.New(mpb.WithOutput(f), mpb.WithWidth(48))
	bar := all.AddBar(total,
		mpb.PrependDecorators(decor.Name(name, decor.WCSyncSpaceR)),
		mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f"), decor.Name("  "), decor.AverageETA(decor.ET_STYLE_GO)),
	)
	return &Bar{all: all, bar: bar}
}

// Set says how many bytes are done.
func (b *Bar) Set(done int64) {
	if b.bar != nil {
		b.bar.SetCurrent(done)
	}
}

// Done ends the bar where it stands.
func (b *Bar) Done() {
	if b.bar != nil {
		b.bar.Abort(false)
		b.all.Wait()
	}
}
