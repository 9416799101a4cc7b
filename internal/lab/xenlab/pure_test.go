package xenlab

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func testMachine() Machine {
	return Machine{Name: "islay", Number: 2, CPU: DefaultCPU, Xen: "/i/xen", Kernel: "/i/vmlinuz", Initrd: "/i,2/initrd",
		Root: "/i/islay.qcow2", Data: "/i/islay-data.qcow2", Monitor: "/r/islay.qmp", Serial: "/r/islay.log"}
}

func TestMachineArgs(t *testing.T) {
	args := testMachine().Args("")
	line := strings.Join(args, "\n")
	for _, want := range []string{
		"tcg,thread=multi", DefaultCPU, "-no-reboot",
		"unix:/r/islay.qmp,server=on,wait=off",
		"dom0_mem=768M,max:768M console=com1 com1=115200 loglvl=all noreboot",
		"/i/vmlinuz console=hvc0 net.ifnames=0 initcall_blacklist=i8042_init lab.name=islay lab.number=2,/i,,2/initrd",
		"file=/i/islay-data.qcow2,format=qcow2,if=virtio,cache.writeback=off,cache.no-flush=on",
		"tap,id=eth3,ifname=islay-eth3,script=no,downscript=no",
		"virtio-net-pci,netdev=eth3,mac=52:54:00:00:03:02",
	} {
		assert.Contains(t, line, want)
	}
	assert.NotContains(t, DefaultCPU, "avx")
	assert.NotContains(t, args, "-loadvm")
	assert.Equal(t, []string{"-loadvm", "fresh"}, testMachine().Args("fresh")[len(args):])
	for _, name := range Hosts() {
		assert.LessOrEqual(t, len(Machine{Name: name}.tap(3)), 15, "the kernel's limit for a name")
	}
}

func TestKindOfMachine(t *testing.T) {
	m := testMachine()
	kind := m.kind("7.2")
	m.Root, m.Serial = "/elsewhere", "/elsewhere" // where files are does not matter
	assert.Equal(t, kind, m.kind("7.2"))
	assert.NotEqual(t, kind, m.kind("8.0"))
	m.CPU += ",+popcnt"
	assert.NotEqual(t, kind, m.kind("7.2"))
}

func TestRecipeNames(t *testing.T) {
	r := recipe{packages: "a b", files: []imageFile{{"/lab/x", 0o644, []byte("1")}}}
	same := recipe{packages: "a b", files: []imageFile{{"/lab/x", 0o644, []byte("1")}}}
	assert.Equal(t, r.name(), same.name())
	for name, other := range map[string]recipe{
		"mode":    {packages: "a b", files: []imageFile{{"/lab/x", 0o755, []byte("1")}}},
		"path":    {packages: "a b", files: []imageFile{{"/lab/y", 0o644, []byte("1")}}},
		"content": {packages: "a b", files: []imageFile{{"/lab/x", 0o644, []byte("2")}}},
	} {
		assert.NotEqual(t, r.name(), other.name(), name)
		assert.Equal(t, r.baseName(), other.baseName(), name)
	}
	assert.NotEqual(t, r.baseName(), recipe{packages: "a b c"}.baseName())
}

func TestPackages(t *testing.T) {
	assert.Equal(t, []string{"a", "b", "c"}, readPackages("a  b # why\n# all of it\n\nc\n"))
	names := readPackages(packageList)
	assert.Contains(t, names, "xen-utils-4.17")
	assert.Len(t, slices.Compact(slices.Sorted(slices.Values(names))), len(names), "each once")
}

func TestLoadOrder(t *testing.T) {
	deps := "kernel/b.ko: kernel/c.ko kernel/d.ko\nkernel/d.ko:\nkernel/c.ko: kernel/d.ko\nkernel/a.ko.xz: kernel/d.ko\n"
	files, err := loadOrder(deps, "b", "a")
	require.NoError(t, err)
	assert.Equal(t, []string{"kernel/d.ko", "kernel/c.ko", "kernel/b.ko", "kernel/a.ko.xz"}, files)
	_, err = loadOrder(deps, "z")
	require.ErrorContains(t, err, "z")
}

func TestCpio(t *testing.T) {
	if _, err := exec.LookPath("cpio"); err != nil {
		t.Skip("no cpio to read it with")
	}
	packed := cpio([]cpioEntry{{name: "dir", mode: cpioDir}, {name: "dir/file", mode: cpioProg, data: []byte("hello")},
		{name: "link", mode: cpioLink, data: []byte("dir/file")}})
	cmd := exec.Command("cpio", "-idm", "--quiet")
	cmd.Dir = t.TempDir()
	cmd.Stdin = strings.NewReader(string(packed))
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, string(said))
	got, err := os.ReadFile(cmd.Dir + "/link")
	require.NoError(t, err)
	assert.Equal(t, "hello", string(got))
	info, err := os.Stat(cmd.Dir + "/dir/file")
	require.NoError(t, err)
	assert.EqualValues(t, 0o755, info.Mode().Perm())
}

func TestTail(t *testing.T) {
	assert.Equal(t, "c\nd", string(lastLines([]byte("a\nb\nc\nd\n"), 2)))
	assert.Equal(t, "a", string(lastLines([]byte("a\n"), 3)))
	assert.Equal(t, "", string(lastLines(nil, 3)))
	var k tail
	for range 1000 {
		_, _ = k.Write([]byte("0123456789"))
	}
	_, _ = k.Write([]byte("end"))
	assert.Len(t, k.String(), tailSize)
	assert.True(t, strings.HasSuffix(k.String(), "789end"))
}

func TestGuestArgs(t *testing.T) {
	assert.Equal(t, "console=hvc0", Guest{}.Args())
	assert.Equal(t, "console=hvc0 g.name=web g.ip=192.168.0.10/24 g.gw=192.168.0.1 g.ack=203.0.113.254:9000 g.rate=10",
		Guest{Name: "web", IP: "192.168.0.10/24", Gateway: "192.168.0.1", Ack: "203.0.113.254:9000", Rate: 10}.Args())
}

func TestLongestGap(t *testing.T) {
	start := time.Now()
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	acks := []Ack{{1, 1, at(1)}, {2, 1, at(2)}, {3, 1, at(9)}, {4, 1, at(10)}}
	assert.Equal(t, 7*time.Second, longestGap(acks, at(0), at(11)))
	assert.Equal(t, 20*time.Second, longestGap(acks, at(0), at(30)), "silence to the end counts")
	assert.Equal(t, 5*time.Second, longestGap(acks, at(4), at(9)), "from the first moment too")
	assert.Equal(t, 3*time.Second, longestGap(nil, at(0), at(3)))
}

func TestReadReport(t *testing.T) {
	report := `=== RUN   TestA
    a_test.go:1: tier lvm is off: switch it on with XENHOST_TIERS=lvm (as root)
--- SKIP: TestA (0.00s)
=== RUN   TestB
=== RUN   TestB/sub
    b_test.go:2: no device
--- FAIL: TestB (0.10s)
    --- SKIP: TestB/sub (0.00s)
=== RUN   TestC
--- PASS: TestC (0.00s)
PASS
`
	for _, chunk := range []int{1, 7, len(report)} {
		var r reportReader
		for part := range slices.Chunk([]byte(report), chunk) {
			_, _ = r.Write(part)
		}
		got := r.result()
		assert.Equal(t, 1, got.Passed)
		assert.Equal(t, 1, got.Failed)
		require.Len(t, got.Skipped, 1, "a tier that is not demanded does not count")
		assert.Contains(t, got.Skipped[0], "TestB/sub")
	}
}

func TestVerdict(t *testing.T) {
	assert.NoError(t, TestResult{Passed: 1}.verdict())
	assert.ErrorContains(t, TestResult{}.verdict(), "no test ran")
	assert.ErrorContains(t, TestResult{Passed: 1, Failed: 2}.verdict(), "2 tests failed")
	assert.ErrorContains(t, TestResult{Passed: 1, Skipped: []string{"TestX (no disk)"}}.verdict(), "TestX (no disk)")
}
