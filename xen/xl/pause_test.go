package xl

import (
	"context"
	"errors"
	"io/fs"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen/dom0"
)

func TestPauseThatLies(t *testing.T) {
	id := uuid.New()
	h := &host{t: t, domains: []line{{"web1", 7, "-b----", "-", id}}}
	h.do = func(_ context.Context, cmd dom0.Cmd, _ string) error { // exit 0, as recorded
		_, _ = cmd.Stderr.Write([]byte("libxl: error: libxl_domain.c:587:libxl_domain_pause: Domain 7:Pausing domain: Invalid argument\n"))
		return nil
	}
	err := h.driver("").Pause(t.Context(), id)
	require.EqualError(t, err, "xen: pause "+id.String()+": Pausing domain: Invalid argument")
	require.NoError(t, h.driver("").Unpause(t.Context(), id))
}

func TestUnpauseOfWhatIsPausedTwice(t *testing.T) {
	id := uuid.New()
	h := &host{t: t, domains: []line{{"web1", 7, "--p---", "-", id}}}
	h.do = func(_ context.Context, _ dom0.Cmd, argv string) error {
		assert.Equal(t, "xl unpause 7", argv)
		if len(h.said) == 2 {
			h.domains[0].letters = "-b----"
		}
		return nil
	}
	require.NoError(t, h.driver("").Unpause(t.Context(), id))
	assert.Len(t, h.said, 2)
}

func TestRenameThatLies(t *testing.T) {
	id := uuid.New()
	h := &host{t: t, domains: []line{{"web1", 7, "-b----", "-", id}, {"web2", 8, "-b----", "-", uuid.New()}}}
	h.do = func(context.Context, dom0.Cmd, string) error { return nil }
	require.ErrorContains(t, h.driver("").Rename(t.Context(), id, "web3"), `still "web1"`)
	require.ErrorIs(t, h.driver("").Rename(t.Context(), id, "web2"), fs.ErrExist)
	assert.Equal(t, []string{"xl rename 7 web3"}, h.said)
}

func TestListOfABrokenHost(t *testing.T) {
	broken := errors.New("broken")
	d := New(runner(func(_ context.Context, cmd dom0.Cmd) error {
		return &dom0.Error{Args: cmd.Args, ExitCode: -1, Err: broken}
	}), nil)
	_, err := d.List(t.Context())
	require.ErrorIs(t, err, broken)
	_, err = d.Info(t.Context())
	require.ErrorIs(t, err, broken)
	require.ErrorIs(t, d.Destroy(t.Context(), uuid.New()), broken)
	_, err = d.Create(t.Context(), spec(), nil)
	require.ErrorIs(t, err, broken)
}

type runner func(context.Context, dom0.Cmd) error

func (r runner) Run(ctx context.Context, cmd dom0.Cmd) error { return r(ctx, cmd) }
