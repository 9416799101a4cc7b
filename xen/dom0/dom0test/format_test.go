package dom0test

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func FuzzRoundTrip(f *testing.F) {
	f.Add("xl", "list -v", "", "", "", 0, []byte("Name ID\n"), []byte(nil), false)
	f.Add("lvs", `a "b" \`, "LVM=1", "5 sha256:00", "signal: killed", -1, []byte("no newline"), []byte("-- 001/stdout --\n"), true)
	f.Add("", "-- x --", " ", "partial", "\n", 5, []byte("\r\n"), []byte{0, 255}, false)
	f.Add("a\x00", "\xff", "é", "", "", 255, []byte("\n"), []byte("-- x --"), false)
	f.Fuzz(func(t *testing.T, name, arg, env, stdin, text string, exit int, stdout, stderr []byte, noKill bool) {
		x := exchange{request: request{args: []string{name, arg}, noKill: noKill}, exit: exit, text: text}
		if env != "" {
			x.env = []string{env, arg}
		}
		if stdin != "" {
			x.stdin = newDigester(nil).String()
		}
		if text != "" {
			x.is = []string{"canceled", "not-exist"}
		}
		if len(stdout) > 0 {
			x.stdout = stdout
		}
		if len(stderr) > 0 {
			x.stderr = stderr
		}
		want := []exchange{x, {request: request{args: []string{arg}}}, x}
		got, err := parse(format(want))
		require.NoError(t, err)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(exchange{}, request{})); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzParse(f *testing.F) {
	data, err := os.ReadFile("testdata/tools.txtar")
	require.NoError(f, err)
	f.Add(data)
	f.Add([]byte("-- 001/command --\nargv: \"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := parse(data)
		if err != nil {
			return
		}
		_, err = parse(format(all))
		require.NoError(t, err)
	})
}

func TestFormatIsReadable(t *testing.T) {
	got := format([]exchange{{
		request: request{args: []string{"xl", "rename", "web1", "web 2"}, env: []string{"A=b c"}, stdin: partial, noKill: true},
		exit:    -1, text: "signal: killed", is: []string{"canceled"},
		stdout: []byte("no newline"), stderr: []byte{0, 1},
	}})
	assert.Equal(t, comment+`-- 001/command --
argv: xl rename web1 "web 2"
env: "A=b c"
stdin: partial
nokill: true
exit: -1
error: "signal: killed"
is: canceled
-- 001/stdout.nonl --
no newline
-- 001/stderr.base64 --
AAE=
`, string(got))
}

func TestParseRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"output before command": "-- 001/stdout --\nx\n",
		"wrong number":          "-- 002/command --\nargv: a\nexit: 0\n",
		"a gap":                 "-- 001/command --\nargv: a\nexit: 0\n-- 003/command --\nargv: a\n",
		"unknown name":          "-- 001/command --\nargv: a\nexit: 0\n-- 001/stdin --\n",
		"unknown suffix":        "-- 001/command --\nargv: a\nexit: 0\n-- 001/stdout.gz --\nx\n",
		"bad base64":            "-- 001/command --\nargv: a\nexit: 0\n-- 001/stdout.base64 --\n!\n",
		"no colon":              "-- 001/command --\nargv\n",
		"unknown key":           "-- 001/command --\nuser: root\n",
		"bad quote":             "-- 001/command --\nargv: \"a\n",
		"bad exit":              "-- 001/command --\nexit: one\n",
		"unknown error":         "-- 001/command --\nis: tired\n",
		"plain error":           "-- 001/command --\nerror: tired\n",
	} {
		_, err := parse([]byte(text))
		assert.Error(t, err, name)
	}
}
