package lvm

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"

	"github.com/xenhost/xenhost/xen/dom0"
)

var versionForm = regexp.MustCompile(`\b([0-9]+)\.([0-9]+)(?:\.([0-9]+))?`)

// thinDelta returns where the second thin volume, of that size, differs from
// the first in the metadata that were set aside on the device.
func (c *Client) thinDelta(ctx context.Context, device, first, second string, size int64) ([]Extent, error) {
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	version, err := dom0.Output(ctx, c.runner, "thin_delta", "-V")
	if err != nil {
		return nil, err
	}
	if err := soundDelta(string(version)); err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	ran := make(chan error, 1)
	go func() {
		err := c.runner.Run(ctx, dom0.Cmd{Args: []string{"thin_delta", "-m", "--thin1", first, "--thin2", second, device}, Stdout: w})
		ran <- err
		w.CloseWithError(err) // nil is the end
	}()
	extents, err := readDelta(r, size)
	r.CloseWithError(errors.New("nobody reads this"))
	// What thin_delta says of itself explains more than its text being cut.
	if failure := <-ran; failure != nil && (err == nil || errors.Is(err, failure)) {
		return nil, failure
	}
	return extents, err
}

// soundDelta refuses the first versions that were written in Rust: until 1.0.6
// they took neighbours of a volume for neighbours in the pool, and called blocks
// the same that are not.
func soundDelta(version string) error {
	found := versionForm.FindStringSubmatch(version)
	if found == nil {
		return fmt.Errorf("thin_delta -V: %q", version)
	}
	if found[1] == "1" && found[2] == "0" && (found[3] == "" || len(found[3]) == 1 && found[3] < "6") {
		return unsupported("thin_delta " + found[0] + " overlooks changes: install 1.0.6 or later")
	}
	return nil
}

// readDelta reads what thin_delta prints: of 0.9 and of 1.x, plain
//
//	<superblock uuid="" time="1" transaction="2" data_block_size="128" nr_data_blocks="0">
//	  <diff left="2" right="1">
//	    <same begin="0" length="5"/> <different begin="5" length="3"/>
//	    <left_only begin="16" length="2"/> <right_only begin="40" length="1"/>
//
// or with --verbose, where the elements hold <range begin="5" .../> instead.
// All is counted in blocks of the pool, and data_block_size in sectors.
func readDelta(r io.Reader, size int64) ([]Extent, error) {
	d := deltaReader{size: size, tokens: xml.NewDecoder(r)}
	if err := d.document(); err != nil {
		return nil, fmt.Errorf("thin_delta: %w", err)
	}
	return d.extents, nil
}

type deltaReader struct {
	tokens  *xml.Decoder
	size    int64 // of the volume, in bytes
	block   int64 // in bytes
	next    int64 // the first block that was not told of yet
	extents []Extent
}

// document reads all of it; a document that is cut short is an error.
func (d *deltaReader) document() error {
	if err := d.children("", map[string]func(xml.StartElement) error{"superblock": d.superblock}); err != nil {
		return err
	}
	if d.block == 0 {
		return errors.New("no superblock")
	}
	return nil
}

func (d *deltaReader) superblock(e xml.StartElement) error {
	if d.block != 0 {
		return errors.New("two superblocks")
	}
	sectors, err := number(e, "data_block_size")
	if err != nil {
		return err
	}
	d.block = sectors * sector
	if d.block < minBlock || d.block > maxBlock || d.block%minBlock != 0 {
		return fmt.Errorf("blocks of %d sectors", sectors)
	}
	return d.children("superblock", map[string]func(xml.StartElement) error{"diff": d.diff})
}

func (d *deltaReader) diff(xml.StartElement) error {
	same := func(e xml.StartElement) error { return d.group(e, nil) }
	data, discard := Data, Discard
	changed := func(e xml.StartElement) error { return d.group(e, &data) }
	return d.children("diff", map[string]func(xml.StartElement) error{
		"same": same, "different": changed, "right_only": changed,
		"left_only": func(e xml.StartElement) error { return d.group(e, &discard) },
	})
}

// group reads one element of a diff; kind nil is blocks that did not change.
func (d *deltaReader) group(e xml.StartElement, kind *ExtentKind) error {
	add := func(e xml.StartElement) error {
		if err := d.add(e, kind); err != nil {
			return err
		}
		return d.tokens.Skip()
	}
	if len(e.Attr) > 0 {
		return add(e)
	}
	return d.children(e.Name.Local, map[string]func(xml.StartElement) error{"range": add})
}

func (d *deltaReader) add(e xml.StartElement, kind *ExtentKind) error {
	begin, err := number(e, "begin")
	if err != nil {
		return err
	}
	length, err := number(e, "length")
	if err != nil {
		return err
	}
	if begin < d.next || length < 1 || length > math.MaxInt64-begin {
		return fmt.Errorf("%s of %d blocks at %d, after %d", e.Name.Local, length, begin, d.next)
	}
	d.next = begin + length
	// Behind the end is what the volume held before it was made smaller.
	end := min(d.next, (d.size+d.block-1)/d.block)
	if kind != nil && begin < end {
		offset := begin * d.block
		d.extents = join(d.extents, Extent{Offset: offset, Length: min(end*d.block, d.size) - offset, Kind: *kind})
	}
	return nil
}

// children reads the elements up to the end of the parent; "" is the document.
func (d *deltaReader) children(parent string, read map[string]func(xml.StartElement) error) error {
	for {
		token, err := d.tokens.Token()
		if errors.Is(err, io.EOF) && parent == "" {
			return nil
		}
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.EndElement:
			return nil // the decoder matches ends with starts
		case xml.StartElement:
			handle, ok := read[t.Name.Local]
			if !ok {
				return fmt.Errorf("<%s> in <%s>", t.Name.Local, parent)
			}
			if err := handle(t); err != nil {
				return err
			}
		}
	}
}

// number returns an attribute that counts.
func number(e xml.StartElement, name string) (int64, error) {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			n, err := strconv.ParseInt(a.Value, 10, 64)
			if err != nil || n < 0 {
				return 0, fmt.Errorf("<%s %s=%q>", e.Name.Local, name, a.Value)
			}
			return n, nil
		}
	}
	return 0, fmt.Errorf("<%s> without %s", e.Name.Local, name)
}
