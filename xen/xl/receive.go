package xl

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/internal/verb"
	"github.com/xenhost/xenhost/xen/xlcfg"
)

// ReceiveFrom implements xen.Migrator, by
//
//	flock -o RUN/UUID.lock xl migrate-receive
//
// The configuration at the head of the stream is replaced by one that is
// rendered from spec, before xl sees it. When ctx ends, xl's pipes are closed: it
// leaves the domain paused, or has destroyed it.
//
// conn must be closed by the caller to end ReceiveFrom's last Read.
func (d *Driver) ReceiveFrom(ctx context.Context, spec xen.Spec, conn io.ReadWriter) (here xen.Domain, err error) {
	text, err := xlcfg.Render(spec)
	if err != nil {
		return here, verb.Wrap("receive", spec.Name, err)
	}
	err = d.verbs.On(ctx, "receive", spec.Name, spec.UUID, func() error {
		if err := d.vacant(ctx, spec); err != nil {
			return err
		}
		lock, err := d.lockFile(spec.UUID)
		if err != nil {
			return err
		}
		a := d.stream(ctx, dom0.Cmd{
			Args:  []string{"flock", "-o", lock, "xl", "migrate-receive"},
			Stdin: &swapped{from: conn, config: text}, Stdout: conn,
		})
		after, cancel := verb.After(ctx, d.opts.Limits.Query)
		defer cancel()
		here, err = d.lookup(after, spec.UUID)
		switch {
		case a.err != nil:
			return a.reason()
		case err != nil:
			return fmt.Errorf("xl has received it, and: %w", err)
		case here.State != xen.Running || here.Name != spec.Name:
			return fmt.Errorf("xl has received it, and it is %s and called %s", here.State, here.Name)
		}
		return nil
	})
	return here, err
}

// The head of what xl save and xl migrate write (tools/xl/xl.h): magic, byte
// order, flags, and the length of the optional data, which are a length and the
// configuration.
const (
	streamMagic  = "Xen saved domain, xl format\n \x00 \r"
	byteOrder    = 0x01020304
	flagJSON     = 1 // the configuration is libxl's JSON; otherwise it is xl.cfg
	flagStreamV2 = 2
	streamHead   = 48
	maxConfig    = 1 << 20
)

// swapped is a stream with another configuration.
type swapped struct {
	from   io.Reader
	config string
	head   *bytes.Reader // nil until it was read
}

// Read implements io.Reader.
func (s *swapped) Read(p []byte) (int, error) {
	if s.head == nil {
		head, err := swapConfig(s.from, s.config)
		if err != nil {
			return 0, err
		}
		s.head = bytes.NewReader(head)
	}
	if s.head.Len() > 0 {
		return s.head.Read(p)
	}
	return s.from.Read(p)
}

// swapConfig reads the head of a stream and returns what stands in its place.
func swapConfig(r io.Reader, config string) ([]byte, error) {
	var head [streamHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err // the end of nothing, or of a part
	}
	word := func(i int) uint32 { return binary.LittleEndian.Uint32(head[32+4*i:]) }
	switch {
	case string(head[:32]) != streamMagic:
		return nil, fmt.Errorf("%w: it begins with %q", xen.ErrInvalid, head[:32])
	case word(0) != byteOrder:
		return nil, fmt.Errorf("%w: byte order %#x", xen.ErrInvalid, word(0))
	case word(1)&^flagJSON != flagStreamV2:
		return nil, fmt.Errorf("%w: flags %#x of the stream", xen.ErrInvalid, word(1))
	case word(3) < 4 || word(3) > maxConfig:
		return nil, fmt.Errorf("%w: a configuration of %d bytes", xen.ErrInvalid, word(3))
	}
	if _, err := io.CopyN(io.Discard, r, int64(word(3))); err != nil {
		return nil, err
	}
	out := append([]byte{}, head[:32]...)
	for _, w := range []uint32{byteOrder, flagStreamV2, 0, uint32(4 + len(config)), uint32(len(config))} {
		out = binary.LittleEndian.AppendUint32(out, w)
	}
	return append(out, config...), nil
}
