package pty_test

import (
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen/internal/pty"
	"github.com/xenhost/xenhost/xen/internal/ptytest"
)

func TestNothingIsChangedOnTheWay(t *testing.T) {
	master, path := ptytest.New(t)
	c, err := pty.Open(path)
	require.NoError(t, err)
	_, err = master.Write([]byte("login: \x03\r"))
	require.NoError(t, err)
	got := make([]byte, 9)
	_, err = io.ReadFull(c, got)
	require.NoError(t, err)
	assert.Equal(t, "login: \x03\r", string(got))
	_, err = c.Write([]byte("root\n"))
	require.NoError(t, err)
	_, err = io.ReadFull(master, got[:5])
	require.NoError(t, err)
	assert.Equal(t, "root\n", string(got[:5]), "and there is no echo before it")

	master.Close() // the domain is gone
	_, err = io.Copy(io.Discard, c)
	require.NoError(t, err)
	_, err = c.Read(got)
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, c.Close())
}

func TestCloseEndsARead(t *testing.T) {
	_, path := ptytest.New(t)
	c, err := pty.Open(path)
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		ended <- err
	}()
	time.Sleep(20 * time.Millisecond) // it most likely reads by now; if not, it fails at once
	require.NoError(t, c.Close())
	select {
	case err := <-ended:
		require.ErrorIs(t, err, os.ErrClosed)
	case <-time.After(10 * time.Second):
		require.Fail(t, "it reads on")
	}
}

func TestWhatIsNoTerminal(t *testing.T) {
	for _, path := range []string{"", "/etc/shadow", "/dev/pts/../sda", "/dev/pts/1\n/x", "/dev/pts/", "/dev/pts/ptmx", "pts/1"} {
		_, err := pty.Open(path)
		require.ErrorContains(t, err, "is no terminal", path)
	}
}
