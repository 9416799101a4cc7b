package xenstore

import (
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestUntrusted(t *testing.T) {
	for value, want := range map[string]bool{
		"": true, "web 1": true, "é": true, "a\nb": false, "\x00": false, "\x1b[2J": false, "\xff": false, "a\u202eb": false, strings.Repeat("x", 11): false,
	} {
		text, err := Untrusted(value).Text(10)
		assert.Equal(t, want, err == nil, "%q", value)
		if err == nil {
			assert.Equal(t, value, text)
		} else {
			assert.ErrorIs(t, err, ErrInvalid)
		}
	}
	for value, want := range map[string]bool{
		"0": true, "10": true, "11": false, "-1": false, "+1": false, "": false, " 1": false, "1\x00": false, "0x1": false, "1_0": false,
		"99999999999999999999": false, strings.Repeat("0", 30): false,
	} {
		_, err := Untrusted(value).Int(0, 10)
		assert.Equal(t, want, err == nil, "%q", value)
	}
	p, err := Untrusted("/local/domain/0/backend/vif/1/0").Path()
	require.NoError(t, err)
	assert.Equal(t, "/local/domain/0/backend/vif/1/0", p)
	_, err = Untrusted("../0").Path()
	require.ErrorIs(t, err, ErrInvalid)
	assert.Equal(t, `"a\nb"`, Untrusted("a\nb").String())
	assert.Less(t, len(Untrusted(strings.Repeat("\x00", 4000)).String()), 600)
}

func TestParsePerm(t *testing.T) {
	for _, s := range []string{"n0", "r5", "w32767", "b1"} {
		p, err := ParsePerm(s)
		require.NoError(t, err)
		assert.Equal(t, s, p.String())
	}
	for _, s := range []string{"", "n", "x1", "r-1", "r32768", "r1 ", "R1", "r+1", "0r"} {
		_, err := ParsePerm(s)
		assert.ErrorIs(t, err, ErrInvalid, "%q", s)
	}
}

func TestErrorText(t *testing.T) {
	assert.Equal(t, `xenstore: read /tool: x`, (&Error{Op: "read", Path: "/tool", Err: assertError("x")}).Error())
	assert.Equal(t, `xenstore: read "a\nb": x`, (&Error{Op: "read", Path: "a\nb", Err: assertError("x")}).Error())
	assert.Less(t, len((&Error{Op: "read", Path: strings.Repeat("x", 9000), Err: assertError("x")}).Error()), 300)
}

type assertError string

func (e assertError) Error() string { return string(e) }

func FuzzValues(f *testing.F) {
	for _, s := range []string{"", "12", "-5", "/local/domain/1", "a\x00b", "r5"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v := Untrusted(b)
		if text, err := v.Text(64); err == nil {
			require.LessOrEqual(t, len(text), 64)
			require.False(t, strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }))
		}
		if n, err := v.Int(-100, 100); err == nil {
			require.True(t, n >= -100 && n <= 100)
			again, err := Untrusted(strconv.FormatInt(n, 10)).Int(-100, 100)
			require.NoError(t, err)
			require.Equal(t, n, again)
		}
		require.LessOrEqual(t, len(v.String()), 4*128+8)
		if p, err := ParsePerm(string(b)); err == nil {
			again, err := ParsePerm(p.String())
			require.NoError(t, err)
			require.Equal(t, p, again)
		}
	})
}

// FuzzReplies: what a reply holds is read or refused.
func FuzzReplies(f *testing.F) {
	f.Add([]byte("12\x00a\x00b\x00\x00"))
	f.Add([]byte("n0\x00r5\x00"))
	f.Add([]byte("\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if generation, part, last, err := parsePart(b); err == nil {
			require.NotEmpty(t, generation)
			names, err := parseNames(part)
			require.NoError(t, err)
			if last {
				part = append(append([]byte{}, part...), 0)
			}
			require.Equal(t, string(b), generation+"\x00"+string(part))
			_ = names
		}
		if perms, err := parsePerms(b); err == nil {
			require.NotEmpty(t, perms)
		}
		if tx, err := parseTx(b); err == nil {
			require.NotZero(t, tx.id)
		}
	})
}
