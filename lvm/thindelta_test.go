package lvm

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// As thin_delta 0.9.0 printed it of a live pool, with and without --verbose.
const (
	deltaPlain = `<superblock uuid="" time="1" transaction="2" data_block_size="128" nr_data_blocks="0">
  <diff left="2" right="1">
    <same begin="0" length="5"/>
    <different begin="5" length="3"/>
    <same begin="8" length="8"/>
    <left_only begin="16" length="2"/>
    <same begin="18" length="14"/>
    <right_only begin="40" length="1"/>
  </diff>
</superblock>
`
	deltaVerbose = `<superblock uuid="" time="1" transaction="2" data_block_size="128" nr_data_blocks="0">
  <diff left="2" right="1">
    <same>
      <range begin="0" data_begin="0" length="5"/>
    </same>
    <different>
      <range begin="5" left_data_begin="5" right_data_begin="32" length="1"/>
      <range begin="6" left_data_begin="6" right_data_begin="40" length="2"/>
    </different>
    <same>
      <range begin="8" data_begin="8" length="8"/>
    </same>
    <left_only>
      <range begin="16" data_begin="16" length="2"/>
    </left_only>
    <right_only>
      <range begin="40" data_begin="50" length="1"/>
    </right_only>
  </diff>
</superblock>
`
)

func TestReadDelta(t *testing.T) {
	const block = 64 << 10
	want := []Extent{
		{Offset: 5 * block, Length: 3 * block},
		{Offset: 16 * block, Length: 2 * block, Kind: Discard},
		{Offset: 40 * block, Length: block},
	}
	for name, text := range map[string]string{
		"plain": deltaPlain, "verbose": deltaVerbose,
		"of 1.1.0": strings.TrimSuffix(strings.Replace(deltaPlain, `nr_data_blocks="0"`, `nr_data_blocks="200"`, 1), "\n"),
	} {
		extents, err := readDelta(strings.NewReader(text), 64*block)
		require.NoError(t, err, name)
		assert.Equal(t, want, extents, name)
	}
	extents, err := readDelta(strings.NewReader(deltaPlain), 40*block+4096)
	require.NoError(t, err)
	assert.Equal(t, Extent{Offset: 40 * block, Length: 4096}, extents[2], "the end of the volume cuts it")
	extents, err = readDelta(strings.NewReader(deltaPlain), 17*block)
	require.NoError(t, err, "it was made smaller, and its pool remembers")
	assert.Equal(t, []Extent{{Offset: 5 * block, Length: 3 * block}, {Offset: 16 * block, Length: block, Kind: Discard}}, extents)
	extents, err = readDelta(strings.NewReader(`<superblock data_block_size="128"><diff left="1" right="1"/></superblock>`), 1)
	require.NoError(t, err)
	assert.Empty(t, extents)
}

func TestSoundDelta(t *testing.T) {
	for _, good := range []string{"0.9.0\n", "thin_delta 0.7.6", "1.0.6", "thin_delta 1.0.14\n", "1.1.0", "1.3", "10.0.1", "2.0"} {
		assert.NoError(t, soundDelta(good), good)
	}
	for _, bad := range []string{"1.0\n", "1.0.0", "thin_delta 1.0.5\n"} {
		assert.ErrorIs(t, soundDelta(bad), errors.ErrUnsupported, bad)
	}
	assert.Error(t, soundDelta("thin_delta"))
}

// The answer is the whole answer, or there is none.
func TestReadDeltaRefuses(t *testing.T) {
	for end := range len(deltaPlain) - 1 {
		_, err := readDelta(strings.NewReader(deltaPlain[:end]), 64<<16)
		assert.Error(t, err, "cut at %d", end)
	}
	swap := func(old, new string) string {
		require.Contains(t, deltaPlain, old)
		return strings.Replace(deltaPlain, old, new, 1)
	}
	for name, text := range map[string]string{
		"nothing":            "",
		"another element":    swap("<same begin=\"0\"", "<moved begin=\"0\""),
		"element in element": swap("<diff left=\"2\" right=\"1\">", "<diff left=\"2\" right=\"1\"><superblock/>"),
		"backwards":          swap(`begin="8"`, `begin="4"`),
		"overlap":            swap(`begin="5" length="3"`, `begin="5" length="4"`),
		"empty":              swap(`length="3"`, `length="0"`),
		"negative":           swap(`length="3"`, `length="-3"`),
		"no length":          swap(`begin="5" length="3"`, `begin="5"`),
		"overflow":           swap(`length="14"`, `length="9223372036854775807"`),
		"block size":         swap(`"128"`, `"1"`),
		"huge block size":    swap(`"128"`, `"36028797018963968"`),
		"twice":              deltaPlain + deltaPlain,
		"no block size":      swap("data_block_size", "x"),
	} {
		_, err := readDelta(strings.NewReader(text), 64<<16)
		assert.ErrorContains(t, err, "thin_delta: ", name)
	}
	_, err := readDelta(io.MultiReader(strings.NewReader(deltaPlain[:200]), failing{}), 64<<16)
	assert.ErrorIs(t, err, io.ErrClosedPipe)
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

// Whatever a pool holds: each block that two volumes do not share is told of
// once, in both forms, by what it is.
func TestReadDeltaProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.SampledFrom([]string{"", "same", "different", "left_only", "right_only"}), 0, 200).Draw(t, "blocks")
		block := int64(rapid.IntRange(1, 4).Draw(t, "block")) * minBlock
		size := max(1, int64(len(words))*block-rapid.Int64Range(0, block-1).Draw(t, "cut"))
		extents, err := readDelta(strings.NewReader(delta(t, words, block)), size)
		require.NoError(t, err)
		ascending(t, extents, size)
		got := make([]string, len(words))
		for _, e := range extents {
			for at := e.Offset; at < e.Offset+e.Length; at += block {
				got[at/block] = "changed" + string(e.Kind)
			}
		}
		for i, word := range words {
			want := map[string]string{"different": "changed", "right_only": "changed", "left_only": "changeddiscard"}[word]
			assert.Equal(t, want, got[i], "block %d is %s", i, word)
		}
	})
}

// delta renders blocks as thin_delta does.
func delta(t *rapid.T, words []string, block int64) string {
	verbose := rapid.Bool().Draw(t, "verbose")
	var b strings.Builder
	fmt.Fprintf(&b, "<superblock uuid=\"\" time=\"9\" data_block_size=\"%d\">\n<diff left=\"1\" right=\"2\">\n", block/sector)
	for i := 0; i < len(words); {
		n := 1
		for i+n < len(words) && words[i+n] == words[i] && rapid.IntRange(0, 9).Draw(t, "cut") > 0 {
			n++
		}
		switch where := fmt.Sprintf("begin=\"%d\" length=\"%d\"", i, n); {
		case words[i] == "":
		case verbose:
			fmt.Fprintf(&b, "<%s>\n<range %s data_begin=\"3\"/>\n</%s>\n", words[i], where, words[i])
		default:
			fmt.Fprintf(&b, "<%s %s/>\n", words[i], where)
		}
		i += n
	}
	b.WriteString("</diff>\n</superblock>\n")
	return b.String()
}

// ascending asserts what Changed promises of extents.
func ascending(t require.TestingT, extents []Extent, size int64) {
	end, kind := int64(-1), ExtentKind("none")
	for _, e := range extents {
		assert.Positive(t, e.Length)
		assert.GreaterOrEqual(t, e.Offset, max(end, 0))
		assert.False(t, e.Offset == end && e.Kind == kind, "%v goes on where the last one ended", e)
		end, kind = e.Offset+e.Length, e.Kind
	}
	assert.LessOrEqual(t, end, size)
}

func FuzzReadDelta(f *testing.F) {
	f.Add(deltaPlain, int64(64<<16))
	f.Add(deltaVerbose, int64(40<<16+4096))
	f.Add(`<superblock data_block_size="2097152"><diff/></superblock>`, int64(1))
	f.Fuzz(func(t *testing.T, text string, size int64) {
		if size < 1 || size > 1<<50 {
			return
		}
		extents, err := readDelta(strings.NewReader(text), size)
		if err == nil {
			ascending(t, extents, size)
			assert.NoError(t, xml.Unmarshal([]byte(text), new(struct{})), "it is sound XML")
		}
	})
}
