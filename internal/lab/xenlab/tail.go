package xenlab

import (
	"bytes"
	"os"
)

// A tail keeps the end of what is written to it.
type tail struct{ kept []byte }

const tailSize = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if len(t.kept) > tailSize {
		t.kept = append([]byte(nil), t.kept[len(t.kept)-tailSize:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.kept) }

// lastLines returns the last n lines of text.
func lastLines(text []byte, n int) []byte {
	text = bytes.TrimRight(text, "\r\n\x00 ")
	at := len(text)
	for ; n > 0 && at > 0; n-- {
		at = bytes.LastIndexByte(text[:at], '\n')
		if at < 0 {
			return text
		}
	}
	if n == 0 && at >= 0 && at < len(text) {
		return text[at+1:]
	}
	return text
}

// fileTail returns the last n lines of a file, or nothing.
func fileTail(name string, n int) string {
	text, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	return string(lastLines(text, n))
}
