package dom0

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

// TestEnds checks, for any way to cut a text into writes, that both ends come
// back and nothing is lost without a word.
func TestEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var e ends
		var all bytes.Buffer
		for i, n := range rapid.SliceOfN(rapid.IntRange(0, 3*keep), 0, 8).Draw(t, "writes") {
			part := bytes.Repeat([]byte{byte('a' + i)}, n)
			all.Write(part)
			got, err := e.Write(part)
			assert.NoError(t, err)
			assert.Equal(t, n, got)
		}
		if all.Len() <= 2*keep {
			assert.Equal(t, all.String(), e.String())
			return
		}
		head, tail := all.String()[:keep], all.String()[all.Len()-keep:]
		assert.True(t, strings.HasPrefix(e.String(), head+"\n[... "))
		assert.True(t, strings.HasSuffix(e.String(), " bytes left out ...]\n"+tail))
	})
}
