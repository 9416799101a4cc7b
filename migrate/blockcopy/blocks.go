package blockcopy

import "encoding/binary"

// blocksPerExtent is how many bits a blocks has.
const blocksPerExtent = ExtentSize / BlockSize

// blocks is a set of blocks of one extent; bit i is block i.
type blocks [blocksPerExtent / 64]uint64

func (b *blocks) add(i int)      { b[i/64] |= 1 << (i % 64) }
func (b *blocks) remove(i int)   { b[i/64] &^= 1 << (i % 64) }
func (b *blocks) has(i int) bool { return b[i/64]&(1<<(i%64)) != 0 }

// addTouched adds the blocks that the bytes from..to of the extent touch.
func (b *blocks) addTouched(from, to int64) {
	for i := from / BlockSize; i*BlockSize < to; i++ {
		b.add(int(i))
	}
}

// addWhole adds the blocks that lie inside from..to; the last one of a volume
// may be short.
func (b *blocks) addWhole(from, to, span int64) {
	for i := (from + BlockSize - 1) / BlockSize; min((i+1)*BlockSize, span) <= to && i*BlockSize < to; i++ {
		b.add(int(i))
	}
}

// runs calls yield for each run of blocks, in order: its first block and the
// one behind its last.
func (b *blocks) runs(yield func(first, end int) bool) {
	for i := 0; i < blocksPerExtent; {
		if b[i/64]>>(i%64) == 0 {
			i = (i/64 + 1) * 64
			continue
		}
		if !b.has(i) {
			i++
			continue
		}
		first := i
		for i < blocksPerExtent && b.has(i) {
			i++
		}
		if !yield(first, i) {
			return
		}
	}
}

// bytes is how much of an extent of the given length the blocks hold: the last
// block of a volume may be short. It is negative if one lies behind the end.
func (b *blocks) bytes(length int) int {
	total := 0
	for first, end := range b.runs {
		if first*BlockSize >= length {
			return -1
		}
		if end*BlockSize-length >= BlockSize {
			return -1
		}
		total += min(end*BlockSize, length) - first*BlockSize
	}
	return total
}

func (b *blocks) put(p []byte) {
	for i, word := range b {
		binary.LittleEndian.PutUint64(p[8*i:], word)
	}
}

func (b *blocks) get(p []byte) {
	for i := range b {
		b[i] = binary.LittleEndian.Uint64(p[8*i:])
	}
}
