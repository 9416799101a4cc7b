package xlcfg

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLikeXl reads what libxlutil 4.17 said of a hundred files: the values of
// those it takes, its first complaint about the others.
func TestLikeXl(t *testing.T) {
	file, err := os.Open("testdata/libxlutil.jsonl")
	require.NoError(t, err)
	defer file.Close()
	n := 0
	for lines := bufio.NewScanner(file); lines.Scan(); n++ {
		var xl struct {
			Text, Error string
			Values      map[string]any
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &xl))
		config, err := Parse("F", xl.Text)
		if xl.Error != "" {
			var syntax *SyntaxError
			require.ErrorAs(t, err, &syntax, "%q", xl.Text)
			if strings.HasSuffix(xl.Error, "lexical error") {
				assert.Equal(t, xl.Error, err.Error(), "%q", xl.Text)
			}
			continue
		}
		require.NoError(t, err, "%q", xl.Text)
		values := make(map[string]any)
		for _, key := range config.Keys() {
			v, _ := config.Get(key)
			values[key] = plain(v)
		}
		assert.Equal(t, xl.Values, values, "%q", xl.Text)
	}
	assert.Equal(t, 100, n)
}

func plain(v Value) any {
	if !v.IsList {
		return v.Text
	}
	list := []any{}
	for _, item := range v.List {
		list = append(list, plain(item))
	}
	return list
}

// The errors of xl create that are recorded, with the files that caused them.
func TestErrorsInXlsForm(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"open quote", "a = 1\nnmae=\"x\n", "F:2: config parsing error near `\"x': lexical error"},
		{"minus", "vcpus = -1\n", "F:1: config parsing error near `-1': lexical error"},
		{"hex escape", `name = "a\x41b\101c\td\n"` + "\n", "F:1: config parsing error near `\"a\\x41b\\101c\\td\\n\"': invalid digit after backslash hexnumerical character escape in quoted string"},
		{"comment without newline", "a = 1\n# last", "F:2: config parsing error near `#': lexical error"},
		{"octal escape", `a = "\101"`, "F:1: config parsing error near `\"\\101\"': numerical character escape in quoted string, which xl loses"},
		{"NUL", "a = \"x\x00y\"", "F:1: config parsing error near `\"x\x00y\"': NUL byte in quoted string"},
		{"no key", "= 1", "F:1: config parsing error near `=': syntax error"},
		{"no value", "a =\nb = 1\n", "F:1: config parsing error near <newline>: syntax error"},
		{"cut short", "a = [ 1,", "F:1: config parsing error near the end: syntax error"},
		{"letter after number", "memory = 64g", "F:1: config parsing error near `g': syntax error"},
		{"+= of two kinds", "a = 1\na += [1]\n", "F:2: config parsing error near `a': can't add [list] to \"string\" or vice versa"},
		{"too deep", "a = " + strings.Repeat("[", 70), "F:1: config parsing error near `[': lists are nested too deep"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse("F", tc.text)
			require.EqualError(t, err, tc.want)
		})
	}
}

func TestValues(t *testing.T) {
	config, err := Parse("F", strings.Join([]string{
		`a = "x"; a = 'last "wins"'`,
		`b = "1"`, `b += '2' # joined`,
		`c = [ 1, "two", [ 3, ], ]`, "c += [\n'four'\n,\n]",
		`d += "new"`,
		`e = "tab\tquote\"\\ \'"`,
	}, "\n"))
	require.NoError(t, err)
	for key, want := range map[string]any{
		"a": `last "wins"`, "b": "12", "c": []any{"1", "two", []any{"3"}, "four"}, "d": "new", "e": "tab\tquote\"\\ '",
	} {
		v, ok := config.Get(key)
		require.True(t, ok, key)
		assert.Equal(t, want, plain(v), key)
	}
	_, ok := config.Get("nope")
	assert.False(t, ok)
	assert.Equal(t, []string{"a", "b", "c", "d", "e"}, config.Keys())
	assert.Equal(t, 2, config[2].Line)
}

func FuzzParse(f *testing.F) {
	f.Add("a = 1\n")
	f.Add("c = [ 1, 'x', [2,], ]\nc += [\n'k'\n,\n]\n")
	f.Add("# comment\nname = \"a\\\"b\\n\";b=2\nb += '3'")
	f.Add("a = \"\\x41\"\n# last")
	f.Fuzz(func(t *testing.T, text string) {
		config, err := Parse("F", text)
		if err != nil {
			var syntax *SyntaxError
			require.ErrorAs(t, err, &syntax)
			require.LessOrEqual(t, syntax.Line, 1+strings.Count(text, "\n"))
			return
		}
		again, err := Parse("F", config.String())
		require.NoError(t, err, "%q", config.String())
		require.Len(t, again, len(config))
		for i, a := range config {
			require.Equal(t, a.Key, again[i].Key)
			require.Equal(t, a.Add, again[i].Add)
			require.Equal(t, plain(a.Value), plain(again[i].Value))
		}
		_, _, _ = config.Spec() // must not panic
	})
}
