package wire

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The bytes of a request as they are on a real socket.
func TestBytes(t *testing.T) {
	m := Message{Op: Read, ID: 7, Tx: 1, Body: Join("/tool")}
	want := "\x02\x00\x00\x00\x07\x00\x00\x00\x01\x00\x00\x00\x06\x00\x00\x00/tool\x00"
	assert.Equal(t, want, string(m.Append(nil)))
	got, err := Next(strings.NewReader(want))
	require.NoError(t, err)
	assert.Equal(t, m, got)
}

func TestNextRefuses(t *testing.T) {
	long := Message{Op: Read, Body: make([]byte, MaxBody+1)}.Append(nil)
	r := bytes.NewReader(long)
	_, err := Next(r)
	require.ErrorContains(t, err, "4097 bytes")
	assert.Equal(t, MaxBody+1, r.Len(), "the body is not read")
	whole := Message{Op: Read, Body: Join("/tool")}.Append(nil)
	for n := range whole {
		_, err := Next(bytes.NewReader(whole[:n]))
		if n == 0 {
			require.ErrorIs(t, err, io.EOF)
			continue
		}
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, n)
	}
}

func TestSplit(t *testing.T) {
	for body, want := range map[string][]string{
		"": nil, "\x00": {""}, "a\x00": {"a"}, "a\x00b\x00": {"a", "b"}, "a\x00\x00": {"a", ""},
	} {
		got, ok := Split([]byte(body))
		assert.True(t, ok, "%q", body)
		assert.Equal(t, want, got, "%q", body)
	}
	for _, body := range []string{"a", "a\x00b"} {
		_, ok := Split([]byte(body))
		assert.False(t, ok, "%q", body)
	}
}

func TestValidPath(t *testing.T) {
	for path, want := range map[string]bool{
		"/": true, "/a": true, "/local/domain/0/backend/vbd/1/51712": true, "/A-b_c@d/0": true,
		"": false, "a": false, "//": false, "/a/": false, "/a//b": false, "/a.b": false, "/a b": false, "/a\x00": false, "/é": false, "@introduceDomain": false,
		"/" + strings.Repeat("a", MaxPath-1): true, "/" + strings.Repeat("a", MaxPath): false,
	} {
		assert.Equal(t, want, ValidPath(path), "%q", path)
	}
}

func FuzzNext(f *testing.F) {
	f.Add(Message{Op: Write, ID: 1, Tx: 2, Body: []byte("/a\x00b")}.Append(nil))
	f.Add([]byte("\x02\x00\x00\x00\x07\x00\x00\x00\x01\x00\x00\x00\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		m, err := Next(r)
		if err != nil {
			return
		}
		require.LessOrEqual(t, len(m.Body), MaxBody)
		require.Equal(t, b[:len(b)-r.Len()], m.Append(nil), "what was read can be written")
		words, ok := Split(m.Body)
		if ok {
			require.Equal(t, string(m.Body), string(Join(words...)))
		}
	})
}
