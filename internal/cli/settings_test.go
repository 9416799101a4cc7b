package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "host.json")
	_, err := Open(path, nil)
	require.ErrorIs(t, err, os.ErrNotExist, "a file that was named must be there")
	for content, says := range map[string]string{
		`{"nmae":"curacao"}`:              "unknown field",
		`{`:                               "unexpected EOF",
		`{"name":"curacao","grace":"60"}`: "grace",
		`{"uplink":{"rate":"950"}}`:       "rate",
	} {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		_, err := Open(path, nil)
		require.ErrorContains(t, err, says)
		require.ErrorContains(t, err, path)
	}
	require.NoError(t, os.WriteFile(path, []byte(`{"name":"curacao","grace":"60s","guard":true,"peers":[{"name":"islay","ssh":"root@islay"}],"masquerades":[{"source":"192.168.0.0/16","out":"xenext"}],"uplink":{"dev":"eth0","rate":"950mbit"}}`), 0o600))
	h, err := Open(path, nil)
	require.NoError(t, err)
	assert.Equal(t, "curacao", h.Name())
	assert.NotNil(t, h.Guard())
	assert.NotNil(t, h.Shaping())
	require.NoError(t, os.WriteFile(path, []byte(`{}`), 0o600))
	h, err = Open(path, nil)
	require.NoError(t, err)
	assert.Nil(t, h.Guard(), "none is asked for")
	hostname, err := os.Hostname()
	require.NoError(t, err)
	assert.Equal(t, hostname, h.Name())
	assert.Nil(t, h.Shaping(), "without an uplink there are no rates")
}

func TestPrint(t *testing.T) {
	var out bytes.Buffer
	table := func(w io.Writer) { fmt.Fprint(w, "NAME\tHOST\nweb1\tcuracao\n") }
	require.NoError(t, (&Flags{}).Print(&out, nil, table))
	assert.Equal(t, "NAME  HOST\nweb1  curacao\n", out.String())
	out.Reset()
	require.NoError(t, (&Flags{JSON: true}).Print(&out, map[string]string{"to": "a -> b"}, table))
	assert.JSONEq(t, `{"to":"a -> b"}`, out.String())
	assert.Contains(t, out.String(), "a -> b", "for people too")
}
