package xl

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
)

func TestConfigIsAFileOfRootsThatDoesNotStay(t *testing.T) {
	s, dir := spec(), t.TempDir()
	h := &host{t: t}
	h.do = func(_ context.Context, cmd dom0.Cmd, _ string) error {
		file := cmd.Args[len(cmd.Args)-1]
		assert.Equal(t, dir, filepath.Dir(file))
		info, err := os.Lstat(file)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode())
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Contains(t, string(text), s.UUID.String())
		h.domains = append(h.domains, line{"web1", 7, "--p---", "-", s.UUID})
		return nil
	}
	d, err := h.driver(dir).Create(t.Context(), s, &xen.CreateOptions{Paused: true})
	require.NoError(t, err)
	assert.Equal(t, 7, d.ID)
	assert.True(t, strings.HasPrefix(h.said[0], "xl create -q -p "+dir+"/xl-"+s.UUID.String()))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestCreateThatHangsLeavesNothing(t *testing.T) {
	for _, tc := range []struct {
		name string
		ctx  func(context.Context) (context.Context, context.CancelFunc)
		want error
	}{
		{"limit", func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} }, context.DeadlineExceeded},
		{"caller", func(ctx context.Context) (context.Context, context.CancelFunc) { return context.WithCancel(ctx) }, context.Canceled},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := spec()
			h := &host{t: t}
			ctx, cancel := tc.ctx(t.Context())
			defer cancel()
			h.do = func(ctx context.Context, cmd dom0.Cmd, argv string) error {
				if argv == "xl destroy 7" {
					h.remove(7)
					return nil
				}
				h.domains = append(h.domains, line{"(null)", 7, "--p---", "-", s.UUID}, line{"other", 8, "-b----", "-", uuid.New()})
				if tc.name == "caller" {
					cancel()
				}
				<-ctx.Done()
				return &dom0.Error{Args: cmd.Args, ExitCode: -1, Err: ctx.Err()}
			}
			_, err := h.driver(t.TempDir()).Create(ctx, s, nil)
			require.ErrorIs(t, err, tc.want)
			require.NotErrorIs(t, err, xen.ErrDirty)
			assert.Equal(t, "xl destroy 7", h.said[1])
			assert.Len(t, h.domains, 1)
		})
	}
}

func TestCreateThatCanNotBeUndoneIsDirty(t *testing.T) {
	s := spec()
	h := &host{t: t}
	h.do = func(ctx context.Context, cmd dom0.Cmd, argv string) error {
		if strings.HasPrefix(argv, "xl destroy") {
			return fail(cmd, "libxl: error: x.c:1:f: Domain 7:Destruction of domain failed\n")
		}
		h.domains = append(h.domains, line{"web1", 7, "--p---", "-", s.UUID})
		return fail(cmd, "libxl: error: x.c:1:f: Domain 7:script: Could not find bridge device nobr\n")
	}
	_, err := h.driver(t.TempDir()).Create(t.Context(), s, nil)
	require.ErrorIs(t, err, xen.ErrDirty)
	require.ErrorIs(t, err, xen.ErrInvalid)
}

// Two processes start one guest: the loser must not destroy the winner's.
func TestLoserOfARaceDestroysNothing(t *testing.T) {
	for name, stderr := range map[string]string{
		"by name":  "libxl: error: libxl_domain.c:81:libxl__domain_rename: Domain 8:Domain with name \"web1\" already exists.\n",
		"earlier":  "libxl: error: libxl_create.c:1:f: Domain 8:Unable to set disk defaults for disk 0\n",
		"no domid": "libxl: error: libxl_create.c:1:f: something\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := spec()
			h := &host{t: t}
			h.do = func(_ context.Context, cmd dom0.Cmd, argv string) error {
				h.domains = append(h.domains, line{"web1", 7, "-b----", "-", s.UUID})
				return fail(cmd, stderr)
			}
			_, err := h.driver(t.TempDir()).Create(t.Context(), s, nil)
			require.Error(t, err)
			assert.Len(t, h.domains, 1)
			assert.Len(t, h.said, 1)
		})
	}
}

func TestUnknownFailureWithLittleMemoryIsNoMemory(t *testing.T) {
	s := spec()
	s.Memory = 2000 << 20
	h := &host{t: t}
	h.do = func(_ context.Context, cmd dom0.Cmd, _ string) error {
		return fail(cmd, "libxl: error: x.c:1:f: Domain 8:strange\n")
	}
	_, err := h.driver(t.TempDir()).Create(t.Context(), s, nil)
	require.ErrorIs(t, err, xen.ErrNoMemory)
	require.EqualError(t, err, "xen: create web1: not enough free memory: strange")
}

func TestCreateThatExitsZero(t *testing.T) {
	for letters, want := range map[string]string{"": "ended right after its start", "--p---": "it is paused"} {
		s := spec()
		h := &host{t: t}
		h.do = func(_ context.Context, _ dom0.Cmd, argv string) error {
			if strings.HasPrefix(argv, "xl destroy") {
				h.remove(7)
			} else if letters != "" {
				h.domains = append(h.domains, line{"web1", 7, letters, "-", s.UUID})
			}
			return nil
		}
		_, err := h.driver(t.TempDir()).Create(t.Context(), s, nil)
		require.ErrorContains(t, err, want)
		assert.Empty(t, h.domains)
	}
}
