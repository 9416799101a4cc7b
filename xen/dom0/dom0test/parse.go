package dom0test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/tools/txtar"
)

// parse is the reverse of format.
func parse(data []byte) ([]exchange, error) {
	var all []exchange
	for _, f := range txtar.Parse(data).Files {
		dir, name, _ := strings.Cut(f.Name, "/")
		if name == "command" {
			all = append(all, exchange{})
		}
		if dir != fmt.Sprintf("%03d", len(all)) {
			return nil, fmt.Errorf("%s: out of order", f.Name)
		}
		x := &all[len(all)-1]
		var err error
		switch stream, suffix, _ := strings.Cut(name, "."); stream {
		case "command":
			err = x.parseHead(string(f.Data))
		case "stdout":
			x.stdout, err = decode(suffix, f.Data)
		case "stderr":
			x.stderr, err = decode(suffix, f.Data)
		default:
			err = errors.New("unknown name")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return all, nil
}

func (x *exchange) parseHead(text string) error {
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if !ok {
			return fmt.Errorf("%q is not key: value", line)
		}
		var err error
		switch key {
		case "argv":
			x.args, err = parseCommandLine(value)
		case "env":
			x.env, err = parseCommandLine(value)
		case "stdin":
			x.stdin = value
		case "nokill":
			x.noKill, err = strconv.ParseBool(value)
		case "exit":
			x.exit, err = strconv.Atoi(value)
		case "error":
			x.text, err = strconv.Unquote(value)
		case "is":
			x.is = strings.Fields(value)
			for _, name := range x.is {
				if known()[name] == nil {
					err = fmt.Errorf("%q is no known error", name)
				}
			}
		default:
			err = errors.New("unknown key")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

// parseCommandLine is the reverse of commandLine.
func parseCommandLine(s string) ([]string, error) {
	var args []string
	for s != "" {
		if !strings.HasPrefix(s, `"`) {
			var arg string
			arg, s, _ = strings.Cut(s, " ")
			args = append(args, arg)
			continue
		}
		quoted, err := strconv.QuotedPrefix(s)
		if err != nil {
			return nil, err
		}
		arg, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, err
		}
		args = append(args, arg)
		s = strings.TrimPrefix(s[len(quoted):], " ")
	}
	return args, nil
}

func decode(suffix string, body []byte) ([]byte, error) {
	switch suffix {
	case "":
		return body, nil
	case "nonl":
		return bytes.TrimSuffix(body, []byte("\n")), nil
	case "base64":
		return base64.StdEncoding.DecodeString(string(body)) // skips newlines
	}
	return nil, fmt.Errorf("unknown suffix %q", suffix)
}
