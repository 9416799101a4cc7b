package xl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/internal/verb"
)

// What the source's half of xl migrate hears and says; the target's is xl's own.
const (
	heardBanner = "xl migration receiver ready, send binary domain data.\n"
	heardReady  = "domain received, ready to unpause\x00"
	saidGo      = "domain is yours, you are cleared to unpause\x00"
	heardReport = "my copy unpause results are as follows\x00\x00"
)

// sendSaved plays xl migrate with an image that xl save writes: the two have
// one format. The domain is paused from the last byte on; until it was renamed a
// failure lets it go on.
func (d *Driver) sendSaved(ctx context.Context, dom xen.Domain, conn io.ReadWriter) error {
	if err := hear(conn, heardBanner); err != nil {
		return fmt.Errorf("no receiver: %w", err)
	}
	out := &counter{w: conn}
	a := d.stream(ctx, dom0.Cmd{Args: []string{"xl", "save", "-p", strconv.Itoa(dom.ID), "/proc/self/fd/1"}, Stdout: out})
	if a.err == nil && out.n == 0 {
		a.err = errors.New("xl exits 0, and has written nothing")
	}
	if a.err == nil {
		a.err = hear(conn, heardReady)
	}
	after, cancel := verb.After(ctx, d.opts.Limits.Destroy)
	defer cancel()
	if a.err != nil {
		return d.unsaved(after, dom, a)
	}
	if err := d.giveAway(after, dom); err != nil {
		return d.unsaved(after, dom, answer{err: err})
	}
	undefined := func(err error) error { return fmt.Errorf("%w: %w", xen.ErrUndefined, err) }
	if _, err := io.WriteString(conn, saidGo); err != nil {
		return undefined(err)
	}
	if err := hear(conn, heardReport); err != nil {
		return undefined(err)
	}
	left, err := d.lookup(after, dom.UUID)
	if err != nil {
		return undefined(err)
	}
	return d.destroy(after, left)
}

// giveAway renames the domain, as xl migrate does before it says that it is the
// target's.
func (d *Driver) giveAway(ctx context.Context, dom xen.Domain) error {
	a := d.run(ctx, d.opts.Limits.Query, "xl", "rename", strconv.Itoa(dom.ID), dom.Name+xen.AwaySuffix)
	if a.err != nil {
		return a.failure()
	}
	now, err := d.lookup(ctx, dom.UUID)
	if err == nil && (now.Name != dom.Name+xen.AwaySuffix || now.State != xen.Paused) {
		err = fmt.Errorf("it is %s and called %s", now.State, now.Name)
	}
	return err
}

// hear reads words that must come now.
func hear(r io.Reader, words string) error {
	got := make([]byte, len(words))
	if _, err := io.ReadFull(r, got); err != nil {
		return err
	}
	if string(got) != words {
		return fmt.Errorf("%w: %q comes where %q belongs", xen.ErrInvalid, got, words)
	}
	return nil
}
