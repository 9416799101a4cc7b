package xl

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
)

// host is a dom0 whose xl misbehaves as a test wants: verbs are answered by
// do, in which the test changes the table of domains.
type host struct {
	t       *testing.T
	domains []line
	monitor int // how often pgrep still finds a monitor
	do      func(ctx context.Context, cmd dom0.Cmd, argv string) error
	onList  func() // before each list
	said    []string
}

type line struct {
	name    string
	id      int
	letters string
	reason  string
	uuid    uuid.UUID
}

func (h *host) Run(ctx context.Context, cmd dom0.Cmd) error {
	if err := ctx.Err(); err != nil {
		return &dom0.Error{Args: cmd.Args, ExitCode: -1, Err: err}
	}
	argv := strings.Join(cmd.Args, " ")
	switch {
	case argv == "xl list -v":
		if h.onList != nil {
			h.onList()
		}
		table := head + tableRow("Domain-0", 0, 900, 1, "r-----", 1, uuid.Nil, "-")
		for _, d := range h.domains {
			table += tableRow(d.name, d.id, 128, 1, d.letters, 1, d.uuid, d.reason)
		}
		_, err := cmd.Stdout.Write([]byte(table))
		return err
	case cmd.Args[0] == "pgrep":
		if h.monitor == 0 {
			return &dom0.Error{Args: cmd.Args, ExitCode: 1}
		}
		h.monitor--
		return nil
	case argv == "xl info":
		_, err := cmd.Stdout.Write([]byte("nr_cpus : 1\ntotal_memory : 2047\nfree_memory : 1000\n"))
		return err
	}
	h.said = append(h.said, argv)
	require.NotNil(h.t, h.do, argv)
	return h.do(ctx, cmd, argv)
}

func (h *host) remove(id int) {
	h.domains = slices.DeleteFunc(h.domains, func(d line) bool { return d.id == id })
}

// fail is what a command that says this on stderr and exits 3 returns.
func fail(cmd dom0.Cmd, stderr string) error {
	_, _ = cmd.Stderr.Write([]byte(stderr))
	return &dom0.Error{Args: cmd.Args, ExitCode: 3, Stderr: stderr}
}

func (h *host) driver(dir string) *Driver {
	return New(h, &Options{TempDir: dir, Poll: time.Millisecond, Limits: Limits{Create: 100 * time.Millisecond, Destroy: time.Second}})
}

func spec() xen.Spec {
	return xen.Spec{
		Name: "web1", UUID: uuid.New(), Type: xen.PVH, Memory: 128 << 20, VCPUs: 1, Kernel: "/boot/vmlinuz",
		Disks: []xen.Disk{{Dev: "xvda", Path: "/dev/guests/web1"}},
	}
}
