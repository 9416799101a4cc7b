package network

import (
	"fmt"
	"slices"
	"strings"
)

// The mark that our rules carry in their comment, followed by a fact or by a
// word on what the rule is for. What we were asked for but found already made
// by hand has foundWord before the fact: it is read, and never removed.
const (
	mark      = "xenhost: "
	foundWord = "found: "
)

// ruleText is a rule as iptables-save prints it after "-A CHAIN ". The comment
// comes after the matches and before the target.
func ruleText(comment string, matches string, target string) string {
	var b strings.Builder
	if matches != "" {
		b.WriteString(matches + " ")
	}
	b.WriteString(`-m comment --comment "` + mark + comment + `" -j ` + target)
	return b.String()
}

// comment is what follows our mark in a rule's comment. Ours hold no quotes.
func comment(text string) (string, bool) {
	_, rest, ok := strings.Cut(text, `--comment "`+mark)
	if !ok {
		return "", false
	}
	c, _, ok := strings.Cut(rest, `"`)
	return c, ok
}

// ruleKey is equal for rules that mean the same: other versions of iptables may
// print options in another order, and without "-m tcp".
func ruleKey(text string) string {
	args, err := words(text)
	if err != nil {
		return text
	}
	var options []string
	for i := 0; i < len(args); {
		end := i + 1
		if args[i] == "!" && end < len(args) {
			end++
		}
		for end < len(args) && args[end] != "!" && !strings.HasPrefix(args[end], "-") {
			end++
		}
		options = append(options, strings.Join(args[i:end], " "))
		i = end
	}
	options = slices.DeleteFunc(options, func(o string) bool { return o == "-m tcp" || o == "-m udp" })
	slices.Sort(options)
	return strings.Join(options, "\x00")
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
