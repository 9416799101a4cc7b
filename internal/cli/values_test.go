package cli

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSize(t *testing.T) {
	for text, want := range map[string]int64{"1K": 1 << 10, "128M": 128 << 20, "20G": 20 << 30, "1T": 1 << 40} {
		var s Size
		require.NoError(t, s.Set(text))
		assert.Equal(t, Size(want), s)
		assert.Equal(t, text, s.String())
	}
	for _, text := range []string{"", "M", "128", "-1M", "0G", "1.5G", "128m", "9223372036854775807T", "1 G"} {
		assert.Error(t, new(Size).Set(text), text)
	}
	assert.Equal(t, "1.5M", Bytes(3<<19))
	assert.Equal(t, "17", Bytes(17))
}

func TestForward(t *testing.T) {
	var f Forward
	require.NoError(t, f.Set("tcp:8080:192.168.0.10:80"))
	require.NoError(t, f.Set("udp:53:192.168.0.10:53"))
	assert.Equal(t, "tcp:8080:192.168.0.10:80 udp:53:192.168.0.10:53", f.String())
	for _, text := range []string{"", "tcp", "tcp:8080", "tcp:0:192.168.0.10:80", "icmp:1:192.168.0.10:1", "tcp:70000:192.168.0.10:80", "tcp:80:web:80"} {
		assert.Error(t, new(Forward).Set(text), text)
	}
}
