package xlcfg

import (
	"fmt"
	"strings"
)

// SyntaxError is what xl create would say of the file.
type SyntaxError struct {
	File string
	Line int    // counted from 1
	Near string // the text that could not be read; "" at the end of the file
	Msg  string
}

// Error has xl's form: F:3: config parsing error near `-1': lexical error
func (e *SyntaxError) Error() string {
	near := "`" + e.Near + "'"
	switch e.Near {
	case "":
		near = "the end"
	case "\n":
		near = "<newline>"
	}
	return fmt.Sprintf("%s:%d: config parsing error near %s: %s", e.File, e.Line, near, e.Msg)
}

type kind int

const (
	end kind = iota
	newline
	ident
	number
	text
	punct // = += , [ ] ;
)

// token is one word of the file.
type token struct {
	kind  kind
	raw   string // as it stands in the file
	value string // a string without its quotes and escapes
	line  int
}

// lexer cuts the file into tokens; the grammar is that of libxlutil's scanner.
type lexer struct {
	file string
	rest string
	line int
}

func (l *lexer) next() (token, error) {
	l.rest = strings.TrimLeft(l.rest, " \t")
	if l.rest == "" {
		return token{kind: end, line: l.line}, nil
	}
	c := l.rest[0]
	switch {
	case c == '\n':
		return l.newline(1), nil
	case c == '#':
		if i := strings.IndexByte(l.rest, '\n'); i >= 0 {
			return l.newline(i + 1), nil
		}
	case 'a' <= c && c <= 'z':
		return l.take(ident, l.span("._0123456789abcdefghijklmnopqrstuvwxyz")), nil
	case '0' <= c && c <= '9':
		return l.take(number, l.span("0123456789abcdefx")), nil
	case strings.IndexByte("=,[];", c) >= 0:
		return l.take(punct, 1), nil
	case strings.HasPrefix(l.rest, "+="):
		return l.take(punct, 2), nil
	case c == '"' || c == '\'':
		if n := closing(l.rest); n > 0 {
			return l.text(n)
		}
	}
	word := 1 + strings.IndexAny(l.rest[1:]+"\n", " \t\n")
	return token{}, l.fail(l.rest[:word], "lexical error")
}

func (l *lexer) fail(near, msg string) error {
	return &SyntaxError{File: l.file, Line: l.line, Near: near, Msg: msg}
}

func (l *lexer) take(k kind, n int) token {
	t := token{kind: k, raw: l.rest[:n], value: l.rest[:n], line: l.line}
	l.rest = l.rest[n:]
	return t
}

func (l *lexer) newline(n int) token {
	t := l.take(newline, n)
	t.raw = "\n"
	l.line++
	return t
}

// span is the length of the run of these bytes.
func (l *lexer) span(bytes string) int {
	n := 0
	for n < len(l.rest) && strings.IndexByte(bytes, l.rest[n]) >= 0 {
		n++
	}
	return n
}

// closing returns the length of the string that s begins with, quotes
// included, or 0 if it does not end on its line.
func closing(s string) int {
	for i := 1; i < len(s) && s[i] != '\n'; i++ {
		switch s[i] {
		case s[0]:
			return i + 1
		case '\\':
			if i++; i < len(s) && s[i] == '\n' {
				return 0
			}
		}
	}
	return 0
}

// text takes a string of n bytes and resolves its escapes.
func (l *lexer) text(n int) (token, error) {
	t := l.take(text, n)
	var b strings.Builder
	for body := t.raw[1 : n-1]; body != ""; body = body[1:] {
		c := body[0]
		switch {
		case c == 0:
			return token{}, l.fail(t.raw, "NUL byte in quoted string")
		case c == '\\':
			body = body[1:]
			plain, ok := escape(body[0])
			switch {
			case ok:
				c = plain
			case body[0] == 'x':
				return token{}, l.fail(t.raw, "invalid digit after backslash hexnumerical character escape in quoted string")
			case '0' <= body[0] && body[0] <= '7':
				return token{}, l.fail(t.raw, "numerical character escape in quoted string, which xl loses")
			default:
				return token{}, l.fail(t.raw, "invalid character after backslash in quoted string")
			}
		}
		b.WriteByte(c)
	}
	t.value = b.String()
	return t, nil
}
