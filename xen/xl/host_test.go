package xl

import (
	"context"
	"fmt"
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
	shows   map[string]string // what commands that only look print
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
		_, err := cmd.Stdout.Write([]byte("nr_cpus : 1\nxen_scheduler : credit2\ntotal_memory : 2047\nfree_memory : 1000\n"))
		return err
	}
	if text, ok := h.shows[argv]; ok {
		_, err := cmd.Stdout.Write([]byte(text))
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

// one is a host with web1 as domid 7, one disk, one vif, two vCPUs.
func one(t *testing.T) (*host, uuid.UUID) {
	id := uuid.New()
	h := &host{t: t, domains: []line{{"web1", 7, "-b----", "-", id}}}
	h.shows = map[string]string{
		"xl list -l 7":          `[{"domid":7,"config":{"c_info":{"type":"pvh","name":"web1","uuid":"` + id.String() + `"},"b_info":{"max_vcpus":2,"avail_vcpus":[0,1],"max_memkb":262144,"target_memkb":131072,"sched_params":{"weight":256}},"disks":[{"pdev_path":"/dev/guests/web1","vdev":"xvda","readwrite":1}],"on_reboot":"restart"}}]`,
		"xl block-list 7":       blocks(51712),
		"xl network-list 7":     nics("00:16:3e:00:00:01"),
		"xl vcpu-list 7":        vcpuTable("0", "all", "0", "all"),
		"xl sched-credit2 -d 7": "Name ID Weight Cap\nweb1 7 256 0\n",
	}
	return h, id
}

func blocks(numbers ...int) string {
	table := "Vdev  BE  handle state evt-ch ring-ref BE-path\n"
	for _, n := range numbers {
		table += fmt.Sprintf("%d 0   7      4     8      8        /local/domain/0/backend/vbd/7/%d\n", n, n)
	}
	return table
}

func nics(macs ...string) string {
	table := "Idx BE Mac Addr.         handle state evt-ch   tx-/rx-ring-ref BE-path\n"
	for i, mac := range macs {
		table += fmt.Sprintf("%d   0  %s     %d     4     -1   522/523         /local/domain/0/backend/vif/7/%d\n", i, mac, i, i)
	}
	return table
}

// vcpuTable has a vCPU for each pair of CPU and hard affinity.
func vcpuTable(pairs ...string) string {
	table := "Name                                ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)\n"
	for i := 0; i+1 < len(pairs); i += 2 {
		table += fmt.Sprintf("web1                                 7  %4d  %4s   -b-       5.2  %s / all\n", i/2, pairs[i], pairs[i+1])
	}
	return table
}

func (h *host) driver(dir string) *Driver {
	return New(h, &Options{TempDir: dir, Poll: time.Millisecond, Limits: Limits{Create: 100 * time.Millisecond, Destroy: time.Second, Resize: 50 * time.Millisecond}})
}

func spec() xen.Spec {
	return xen.Spec{
		Name: "web1", UUID: uuid.New(), Type: xen.PVH, Memory: 128 << 20, VCPUs: 1, Kernel: "/boot/vmlinuz",
		Disks: []xen.Disk{{Dev: "xvda", Path: "/dev/guests/web1"}},
	}
}
