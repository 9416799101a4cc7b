package main

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/xen/dom0"
)

// serveEnv makes this test binary a blocksync, for the far end.
const serveEnv = "BLOCKSYNC_TEST_SERVE"

func TestMain(m *testing.M) {
	if os.Getenv(serveEnv) != "" {
		c := command(dom0.Local{})
		c.SetArgs(os.Args[1:])
		cli.Main(c, nil)
		return
	}
	os.Exit(m.Run())
}

// ssh runs what it should run there here: it checks the argv, and leaves the
// link to the pipes.
type ssh struct {
	t    *testing.T
	runs int
}

func (s *ssh) Run(ctx context.Context, cmd dom0.Cmd) error {
	s.runs++
	line := strings.Join(cmd.Args, " ")
	require.True(s.t, strings.HasPrefix(line, "ssh -T -oBatchMode=yes "), line)
	before, after, ok := strings.Cut(line, " -- root@islay blocksync ")
	require.True(s.t, ok, line)
	require.Contains(s.t, before, "-i key")
	cmd.Args = append([]string{os.Args[0]}, strings.Fields(after)...)
	cmd.Env = append(cmd.Env, serveEnv+"=1")
	return dom0.Local{}.Run(ctx, cmd)
}

// sync runs a blocksync and returns its last line.
func sync(t *testing.T, runner dom0.Runner, args ...string) (result, error) {
	var out bytes.Buffer
	c := command(runner)
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetOut(&out)
	c.SetArgs(append(args, "--json"))
	err := c.ExecuteContext(t.Context())
	var r result
	if err == nil {
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &r))
	}
	return r, err
}

func write(t *testing.T, path string, size int) []byte {
	content := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content[:size/2])
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return content
}

func equal(t *testing.T, a, b string) {
	x, err := os.ReadFile(a)
	require.NoError(t, err)
	y, err := os.ReadFile(b)
	require.NoError(t, err)
	require.True(t, bytes.Equal(x, y))
}

// TestOneByte: a second run after one changed byte of 128 MiB sends next to
// nothing, with an index and without, here and over there.
func TestOneByte(t *testing.T) {
	for over, size := range map[string]int{"": 128 << 20, "ssh:root@islay:": 20 << 20} {
		for _, index := range []bool{false, true} {
			dir := t.TempDir()
			src, dst := filepath.Join(dir, "src"), filepath.Join(dir, "dst")
			content := write(t, src, size)
			far := &ssh{t: t}
			args := []string{src, over + dst, "--ssh-option=-i", "--ssh-option=key"}
			if index {
				args = append(args, "--index="+filepath.Join(dir, "index"))
			}
			first, err := sync(t, far, args...)
			require.NoError(t, err)
			equal(t, src, dst)
			assert.Equal(t, blockcopy.ByAll, first.How)
			assert.InDelta(t, size/2, first.Sent, float64(size)/100)

			content[size-12_345_678]++
			require.NoError(t, os.WriteFile(src, content, 0o600))
			second, err := sync(t, far, append(args, "--verify")...)
			require.NoError(t, err)
			equal(t, src, dst)
			assert.Less(t, second.Sent, int64(2<<20), "what is asked")
			assert.Less(t, second.Sent, int64(8<<10), "what is had")
			assert.EqualValues(t, 4096, second.Data)
			assert.Len(t, second.SHA256, 64)
			if index {
				assert.Less(t, second.Received, int64(8<<10))
			}
			require.Equal(t, over != "", far.runs == 2)
		}
	}
}

// TestStaleTarget: an index of another generation than the target holds is
// refused; without it, the two are compared.
func TestStaleTarget(t *testing.T) {
	dir := t.TempDir()
	src, dst, index := filepath.Join(dir, "src"), filepath.Join(dir, "dst"), filepath.Join(dir, "index")
	write(t, src, 4<<20)
	_, err := sync(t, nil, src, dst, "--index", index)
	require.NoError(t, err)
	_, err = sync(t, nil, src, dst) // in place: the generation is gone
	require.NoError(t, err)
	_, err = sync(t, nil, src, dst, "--index", index)
	require.ErrorIs(t, err, blockcopy.ErrBase)
	require.NoError(t, os.Remove(index))
	r, err := sync(t, nil, src, dst, "--index", index)
	require.NoError(t, err)
	assert.Equal(t, blockcopy.ByHashes, r.How)
	assert.Zero(t, r.Data)

	// Another file under the same name holds no generation.
	require.NoError(t, os.Rename(dst, dst+".old"))
	write(t, dst, 4<<20)
	_, err = sync(t, nil, src, dst, "--index", index)
	require.ErrorIs(t, err, blockcopy.ErrBase)
}

func TestWrongCommands(t *testing.T) {
	dir := t.TempDir()
	src := filepath.Join(dir, "src")
	write(t, src, 4096)
	require.NoError(t, os.Symlink(src, filepath.Join(dir, "link")))
	for _, args := range [][]string{
		{src}, {src, filepath.Join(dir, "link")}, {src, "ssh:islay"}, {src, "ssh:islay:relative"}, {src, "ssh::/dev/x"},
	} {
		_, err := sync(t, nil, args...)
		require.ErrorAs(t, err, new(cli.UsageError), "%v", args)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "small"), []byte("x"), 0o600))
	_, err := sync(t, nil, src, filepath.Join(dir, "small"))
	require.ErrorIs(t, err, blockcopy.ErrSize)
	_, err = sync(t, nil, filepath.Join(dir, "none"), src)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = sync(t, nil, src, filepath.Join(dir, "no", "folder"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestTargets(t *testing.T) {
	for to, want := range map[string][2]string{
		"disk.img":                       {"", "disk.img"},
		"ssh:root@islay:/dev/guests/web": {"root@islay", "/dev/guests/web"},
		"ssh:[2001:db8::1]:/srv/a:/b":    {"2001:db8::1", "/srv/a:/b"},
	} {
		host, path, err := parseTarget(to)
		require.NoError(t, err)
		assert.Equal(t, want, [2]string{host, path})
	}
}
