package dom0test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/tools/txtar"
)

const comment = "Recorded from real commands by dom0test; XENHOST_RECORD=1 records again.\n\n"

// format renders exchanges so that parse returns the same.
func format(all []exchange) []byte {
	a := &txtar.Archive{Comment: []byte(comment)}
	for i, x := range all {
		dir := fmt.Sprintf("%03d/", i+1)
		a.Files = append(a.Files, txtar.File{Name: dir + "command", Data: x.head()})
		for _, out := range []struct {
			name string
			data []byte
		}{{"stdout", x.stdout}, {"stderr", x.stderr}} {
			if len(out.data) > 0 {
				suffix, body := encode(out.data)
				a.Files = append(a.Files, txtar.File{Name: dir + out.name + suffix, Data: body})
			}
		}
	}
	return txtar.Format(a)
}

// head renders everything but the outputs, one fact a line.
func (x *exchange) head() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "argv: %s\n", commandLine(x.args))
	if len(x.env) > 0 {
		fmt.Fprintf(&b, "env: %s\n", commandLine(x.env))
	}
	if x.stdin != "" {
		fmt.Fprintf(&b, "stdin: %s\n", x.stdin)
	}
	if x.noKill {
		b.WriteString("nokill: true\n")
	}
	fmt.Fprintf(&b, "exit: %d\n", x.exit)
	if x.text != "" {
		fmt.Fprintf(&b, "error: %s\n", strconv.Quote(x.text))
	}
	if len(x.is) > 0 {
		fmt.Fprintf(&b, "is: %s\n", strings.Join(x.is, " "))
	}
	return b.Bytes()
}

// commandLine renders arguments with spaces between; what is not plain is
// quoted as in Go.
func commandLine(args []string) string {
	words := make([]string, len(args))
	for i, arg := range args {
		words[i] = word(arg)
	}
	return strings.Join(words, " ")
}

func word(arg string) string {
	plain := func(r rune) bool {
		return r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-_./:=,@%+", r))
	}
	if arg == "" || strings.ContainsFunc(arg, func(r rune) bool { return !plain(r) }) {
		return strconv.Quote(arg)
	}
	return arg
}

// encode returns the body of a txtar file that holds data, and the suffix of
// its name that says how.
func encode(data []byte) (suffix string, body []byte) {
	body = data
	if data[len(data)-1] != '\n' {
		suffix, body = ".nonl", append(bytes.Clone(data), '\n')
	}
	if plainText(body) {
		return suffix, body
	}
	const width = 76
	text := base64.StdEncoding.EncodeToString(data)
	var b bytes.Buffer
	for len(text) > 0 {
		n := min(width, len(text))
		b.WriteString(text[:n] + "\n")
		text = text[n:]
	}
	return ".base64", b.Bytes()
}

// plainText reports whether body survives txtar, git and an editor.
func plainText(body []byte) bool {
	if !utf8.Valid(body) || bytes.ContainsFunc(body, func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\t'
	}) {
		return false
	}
	back := txtar.Parse(txtar.Format(&txtar.Archive{Files: []txtar.File{{Name: "x", Data: body}}}))
	return len(back.Files) == 1 && bytes.Equal(back.Files[0].Data, body)
}
