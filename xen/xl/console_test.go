package xl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/xen/dom0"
)

// openPTY returns the master of a new pty, as xenconsoled has one for each
// domain, and the path of its slave.
func openPTY(t *testing.T) (*os.File, string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no ptys here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	return master, fmt.Sprintf("/dev/pts/%d", n)
}

func TestConsole(t *testing.T) {
	master, path := openPTY(t)
	h, id := one(t)
	h.shows["xenstore-read /local/domain/7/console/tty"] = path + "\n"
	c, err := h.driver("").Console(t.Context(), id)
	require.NoError(t, err)

	_, err = master.Write([]byte("login: \x03\r"))
	require.NoError(t, err)
	got := make([]byte, 9)
	_, err = io.ReadFull(c, got)
	require.NoError(t, err)
	assert.Equal(t, "login: \x03\r", string(got), "nothing is changed on the way")
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
	_, path := openPTY(t)
	c, err := openConsole(path)
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

// xenstore is the host's, but what is opened as root is looked at all the same.
func TestConsoleThatIsNone(t *testing.T) {
	for _, path := range []string{"/etc/shadow", "/dev/pts/../sda", "/dev/pts/1\n/x", "/dev/pts/"} {
		h, id := one(t)
		h.shows["xenstore-read /local/domain/7/console/tty"] = path + "\n"
		_, err := h.driver("").Console(t.Context(), id)
		require.ErrorContains(t, err, "xenstore says", path)
	}
	h, id := one(t)
	h.do = func(_ context.Context, cmd dom0.Cmd, _ string) error {
		return fail(cmd, "xenstore-read: couldn't read path\n")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := h.driver("").Console(ctx, id)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestScreen(t *testing.T) {
	h, id := one(t)
	_, err := h.driver("").Screen(t.Context(), id)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	h.shows["xl list -l 7"] = strings.NewReplacer(`"pvh"`, `"hvm"`, `"b_info":{`, `"b_info":{"type.hvm":{"vnc":{"enable":"True"}},`).Replace(h.shows["xl list -l 7"])
	h.shows["xenstore-read /local/domain/7/console/vnc-listen"] = "127.0.0.1\n"
	h.shows["xenstore-read /local/domain/7/console/vnc-port"] = "5901\n"
	at, err := h.driver("").Screen(t.Context(), id)
	require.NoError(t, err)
	assert.Equal(t, netip.MustParseAddrPort("127.0.0.1:5901"), at)
	h.shows["xenstore-read /local/domain/7/console/vnc-port"] = "x\n"
	_, err = h.driver("").Screen(t.Context(), id)
	require.Error(t, err)
}
