package migrate_test

import (
	"bufio"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/xen/dom0"
)

func TestCommandTalks(t *testing.T) {
	c, err := migrate.Command(t.Context(), dom0.Local{}, []string{"cat"})
	require.NoError(t, err)
	_, err = io.WriteString(c, "hello\n")
	require.NoError(t, err)
	line, err := bufio.NewReader(c).ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "hello\n", line)
	require.NoError(t, c.Close())
	require.NoError(t, c.Close(), "again")
	_, err = io.WriteString(c, "more\n")
	require.Error(t, err)
}

func TestCommandSaysWhyItEnded(t *testing.T) {
	c, err := migrate.Command(t.Context(), dom0.Local{}, []string{"cat", "/nonexistent"})
	require.NoError(t, err)
	_, err = io.ReadAll(c)
	require.ErrorContains(t, err, "No such file or directory")
	require.ErrorContains(t, c.Close(), "No such file or directory")
}

func TestCommandEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c, err := migrate.Command(ctx, dom0.Local{}, []string{"sleep", "600"})
	require.NoError(t, err)
	time.AfterFunc(10*time.Millisecond, cancel)
	_, err = io.ReadAll(c)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, c.Close())
}

func TestSSH(t *testing.T) {
	assert.Equal(t, "ssh -T -oBatchMode=yes -oServerAliveInterval=15 -oServerAliveCountMax=3 -- root@islay xenhost-agent serve",
		strings.Join(migrate.SSH("root@islay", nil), " "))
	argv := migrate.SSH("-oProxyCommand=evil", &migrate.SSHOptions{Agent: []string{"/opt/agent", "serve"}, Options: []string{"-i", "/root/key"}})
	assert.Equal(t, []string{"-i", "/root/key", "--", "-oProxyCommand=evil", "/opt/agent", "serve"}, argv[5:])
}
