package lvm

import "fmt"

// Extent is a range of a volume, in bytes.
type Extent struct {
	Offset int64      `json:"offset"`
	Length int64      `json:"length"`
	Kind   ExtentKind `json:"kind,omitempty"`
}

// ExtentKind is what a source of changes knows of a range without reading it.
type ExtentKind string

const (
	// Data is to be read.
	Data ExtentKind = ""
	// Zero reads as zeros.
	Zero ExtentKind = "zero"
	// Discard reads as zeros, because the volume gave the range back: a copy
	// of it may do the same.
	Discard ExtentKind = "discard"
)

// String is the offset and the length, as "4096+8192", with the kind unless
// it is Data.
func (e Extent) String() string {
	s := fmt.Sprintf("%d+%d", e.Offset, e.Length)
	if e.Kind != Data {
		s += " " + string(e.Kind)
	}
	return s
}

// join appends e to ascending extents, or to the last one if it goes on there.
func join(extents []Extent, e Extent) []Extent {
	if n := len(extents); n > 0 {
		if last := &extents[n-1]; last.Kind == e.Kind && last.Offset+last.Length == e.Offset {
			last.Length += e.Length
			return extents
		}
	}
	return append(extents, e)
}
