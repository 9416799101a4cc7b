package network

import (
	"fmt"
	"slices"
	"strings"
)

// A rule is one line of iptables-save: -A chain args...
type rule struct {
	chain string
	args  []string
}

// The marks that our rules carry in their comment, followed by a fact or by a
// word on what the rule is for. What we were asked for but found already made
// by hand carries foundMark: it is read, and never removed.
const (
	mark      = "xenhost: "
	foundMark = "xenhost found: "
)

// comment is the rule's comment, or "".
func (r rule) comment() string {
	if i := slices.Index(r.args, "--comment"); i >= 0 && i+1 < len(r.args) {
		return r.args[i+1]
	}
	return ""
}

// fact is what a rule of ours says, and whether it was found.
func (r rule) fact() (line string, found, ours bool) {
	c := r.comment()
	if line, ok := strings.CutPrefix(c, mark); ok {
		return line, false, true
	}
	if line, ok := strings.CutPrefix(c, foundMark); ok {
		return line, true, true
	}
	return "", false, false
}

// key is equal for rules that mean the same: iptables prints options in
// another order than they were given in, and adds "-m tcp".
func (r rule) key() string {
	var options []string
	for i := 0; i < len(r.args); {
		end := i + 1
		if r.args[i] == "!" && end < len(r.args) {
			end++
		}
		for end < len(r.args) && r.args[end] != "!" && !strings.HasPrefix(r.args[end], "-") {
			end++
		}
		options = append(options, strings.Join(r.args[i:end], " "))
		i = end
	}
	options = slices.DeleteFunc(options, func(o string) bool { return o == "-m tcp" || o == "-m udp" })
	slices.Sort(options)
	return r.chain + "\x00" + strings.Join(options, "\x00")
}

// line is the rule as iptables-restore reads it; verb is -A or -D.
func (r rule) line(verb string) string {
	var b strings.Builder
	b.WriteString(verb + " " + r.chain)
	for _, a := range r.args {
		b.WriteString(" " + quote(a))
	}
	return b.String()
}

// quote writes an argument so that words reads it back.
func quote(s string) string {
	if s != "" && !strings.ContainsAny(s, " \t\"\\'") {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// words splits a line as iptables-restore does: blanks separate, double quotes
// hold together, a backslash in quotes takes the next byte as it is.
func words(line string) ([]string, error) {
	var out []string
	var word strings.Builder
	in, quoted := false, false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quoted && c == '\\' && i+1 < len(line):
			i++
			word.WriteByte(line[i])
		case c == '"':
			quoted, in = !quoted, true
		case !quoted && (c == ' ' || c == '\t'):
			if in {
				out = append(out, word.String())
			}
			word.Reset()
			in = false
		default:
			word.WriteByte(c)
			in = true
		}
	}
	if quoted {
		return nil, fmt.Errorf("open quote in %q", line)
	}
	if in {
		out = append(out, word.String())
	}
	return out, nil
}
