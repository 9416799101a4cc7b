package xl

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/internal/ptytest"
)

func TestConsole(t *testing.T) {
	master, path := ptytest.New(t)
	h, id := one(t)
	h.shows["xenstore-read /local/domain/7/console/tty"] = path + "\n"
	c, err := h.driver("").Console(t.Context(), id)
	require.NoError(t, err)
	_, err = master.Write([]byte("login: "))
	require.NoError(t, err)
	got := make([]byte, 7)
	_, err = io.ReadFull(c, got)
	require.NoError(t, err)
	assert.Equal(t, "login: ", string(got))
	require.NoError(t, c.Close())
}

// xenstore is the host's, but what is opened as root is looked at all the same.
func TestConsoleThatIsNone(t *testing.T) {
	for _, path := range []string{"/etc/shadow", "/dev/pts/../sda", "/dev/pts/1\n/x", "/dev/pts/"} {
		h, id := one(t)
		h.shows["xenstore-read /local/domain/7/console/tty"] = path + "\n"
		_, err := h.driver("").Console(t.Context(), id)
		require.ErrorContains(t, err, "is no terminal", path)
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
