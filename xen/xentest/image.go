package xentest

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/cpuid"
)

// What Save and a migration write: magic, what the domain is made of, filler in
// place of memory pages, what the guest remembers, end. Numbers are 32-bit big
// endian and stand before what they count.
const (
	magic  = "xentest saved domain\n"
	finish = "end of saved domain\n"
	filler = 256 << 10
	atMost = 16 << 20 // of each part
)

// made is what must be the same at a Restore.
type made struct {
	Type      xen.Type  `json:"type"`
	MaxMemory int64     `json:"max_memory"`
	MaxVCPUs  int       `json:"max_vcpus"`
	Disks     []string  `json:"disks"`
	Vifs      []xen.MAC `json:"vifs"`
}

func madeOf(s xen.Spec) made {
	s = s.WithDefaults()
	m := made{Type: s.Type, MaxMemory: s.MaxMemory, MaxVCPUs: s.MaxVCPUs}
	for _, d := range s.Disks {
		m.Disks = append(m.Disks, d.Dev)
	}
	for _, v := range s.Vifs {
		m.Vifs = append(m.Vifs, v.MAC)
	}
	return m
}

func (m made) equal(o made) bool {
	return m.Type == o.Type && m.MaxMemory == o.MaxMemory && m.MaxVCPUs == o.MaxVCPUs && slices.Equal(m.Disks, o.Disks) && slices.Equal(m.Vifs, o.Vifs)
}

// head stands before the pages, as the CPU's policy does in Xen's stream.
type head struct {
	Spec xen.Spec     `json:"spec"`
	CPU  cpuid.Policy `json:"cpu"`
}

// writePages writes what can be written while the guest runs: what it is made
// of, what it sees of its CPU, and its pages.
func writePages(w io.Writer, d *domain) error {
	if _, err := io.WriteString(w, magic); err != nil {
		return err
	}
	text, err := json.Marshal(head{d.guest.Spec(), d.cpu})
	if err != nil {
		return err
	}
	if err := writePart(w, text); err != nil {
		return err
	}
	pages := make([]byte, 4096)
	for n := range filler / len(pages) {
		pages[0] = byte(n)
		if _, err := w.Write(pages); err != nil {
			return err
		}
	}
	return nil
}

// writeState writes the rest, of a guest that is suspended.
func writeState(w io.Writer, memory []byte) error {
	if err := writePart(w, memory); err != nil {
		return err
	}
	_, err := io.WriteString(w, finish)
	return err
}

func writePart(w io.Writer, part []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(part))), part...))
	return err
}

func readPages(r io.Reader) (h head, err error) {
	if err := readFixed(r, magic); err != nil {
		return h, err
	}
	text, err := readPart(r)
	if err != nil {
		return h, err
	}
	if err := json.Unmarshal(text, &h); err != nil {
		return h, fmt.Errorf("%w: %w", xen.ErrInvalid, err)
	}
	_, err = io.CopyN(io.Discard, r, filler)
	return h, whole(err)
}

func readState(r io.Reader) (memory []byte, err error) {
	if memory, err = readPart(r); err != nil {
		return nil, err
	}
	return memory, readFixed(r, finish)
}

func readPart(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, whole(err)
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > atMost {
		return nil, fmt.Errorf("%w: a part of %d bytes", xen.ErrInvalid, n)
	}
	part := make([]byte, n)
	_, err := io.ReadFull(r, part)
	return part, whole(err)
}

// readFixed reads a text that must come now.
func readFixed(r io.Reader, want string) error {
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil {
		return whole(err)
	}
	if string(got) != want {
		return fmt.Errorf("%w: %q comes where %q belongs", xen.ErrInvalid, got, want)
	}
	return nil
}

// whole makes an end in the middle an error of its own.
func whole(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// tied is a stream that ends with ctx, between two reads or writes.
type tied struct {
	ctx context.Context
	r   io.Reader
	w   io.Writer
}

func (t tied) Read(p []byte) (int, error) {
	if err := t.ctx.Err(); err != nil {
		return 0, err
	}
	return t.r.Read(p)
}

func (t tied) Write(p []byte) (int, error) {
	if err := t.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := t.w.Write(p)
	if err != nil && t.ctx.Err() != nil {
		err = t.ctx.Err()
	}
	return n, err
}
