package xenlab

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestQuote(t *testing.T) {
	assert.Equal(t, `xl list`, quote("xl", "list"))
	assert.Equal(t, `echo '' 'a b' 'it'\''s' '$x'`, quote("echo", "", "a b", "it's", "$x"))
}

// A shell splits what quote made in to what it was made of.
func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "a", "a b", "it's", `\`, "$(id)", "a\nb", "*", "~", "#", "=", "é", "'''", `"`} {
		f.Add(s, "x")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if strings.ContainsRune(a+b, 0) {
			t.Skip("no argv can hold it")
		}
		out, err := exec.Command("sh", "-c", quote("printf", `%s\0%s\0`, a, b)).Output()
		require.NoError(t, err)
		assert.Equal(t, a+"\x00"+b+"\x00", string(out))
	})
}
