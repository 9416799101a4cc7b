package xlcfg

import (
	"slices"
	"strings"
)

// Config is a configuration file: its assignments in order.
type Config []Assignment

// Assignment is one `key = value` or `key += value`.
type Assignment struct {
	Key   string
	Add   bool // +=
	Value Value
	Line  int // where the value begins, counted from 1
}

// Value is a string or a list. Numbers are strings too: xl does not tell 1
// from "1" either.
type Value struct {
	Text   string
	List   []Value
	IsList bool
}

// String makes the Value of a string. It must not hold a NUL byte, which no
// xl.cfg can express.
func String(s string) Value { return Value{Text: s} }

// List makes the Value of a list.
func List(values ...Value) Value { return Value{List: values, IsList: true} }

// Get returns what xl takes as the value of key: the last assignment, with
// what was added to it. A += of strings joins them, one of lists appends.
func (c Config) Get(key string) (Value, bool) {
	var v Value
	found := false
	for _, a := range c {
		switch {
		case a.Key != key:
		case found && a.Add && a.Value.IsList:
			v.List = slices.Concat(v.List, a.Value.List)
		case found && a.Add:
			v.Text += a.Value.Text
		default:
			v, found = a.Value, true
		}
	}
	return v, found
}

// Keys returns every key once, in the order in which they first appear.
func (c Config) Keys() []string {
	var keys []string
	for _, a := range c {
		if !slices.Contains(keys, a.Key) {
			keys = append(keys, a.Key)
		}
	}
	return keys
}

// String renders c as text that Parse, and xl, read back as c.
func (c Config) String() string {
	var b strings.Builder
	for _, a := range c {
		b.WriteString(a.Key)
		if a.Add {
			b.WriteString(" +")
		} else {
			b.WriteString(" ")
		}
		b.WriteString("= ")
		a.Value.write(&b)
		b.WriteByte('\n')
	}
	return b.String()
}

func (v Value) write(b *strings.Builder) {
	if !v.IsList {
		b.WriteString(quote(v.Text))
		return
	}
	b.WriteString("[")
	for i, item := range v.List {
		if i > 0 {
			b.WriteString(", ")
		}
		item.write(b)
	}
	b.WriteString("]")
}

// escape returns what a letter stands for behind a backslash. Only these are
// read right by every xl: it always refuses \xNN and loses what \NNN stands for.
func escape(letter byte) (c byte, ok bool) {
	const letters, stand = `"'\abfnrtv`, "\"'\\\a\b\f\n\r\t\v"
	i := strings.IndexByte(letters, letter)
	if i < 0 {
		return 0, false
	}
	return stand[i], true
}

// quote escapes the three bytes that would end a string: the double quote, the
// backslash and the newline. All others stand for themselves.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}
