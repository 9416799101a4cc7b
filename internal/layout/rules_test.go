package layout

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLayers(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     string // "" is allowed
	}{
		{"examples/move", "migrate", ""},
		{"examples/quickstart", "xen/xentest", ""},
		{"migrate", "xen/host", ""},
		{"migrate/handover", "xen/host/owner", ""},
		{"migrate", "lvm", ""},
		{"accounting", "network", ""},
		{"xen/host", "xen/host/owner", ""},
		{"xen/host", "shaping", ""},
		{"xen/host/hosttest", "lvm/lvmtest", ""},
		{"xen/xl", "xen", ""},
		{"xen/xl", "xen/xlcfg", ""},
		{"xen/xentest", "xen", ""},
		{"lvm", "xen/dom0", ""},
		{"lvm", "internal/ether", ""},
		{"lvm/lvmtest", "internal/tier", ""},
		{"xen/dom0/dom0test", "xen/dom0", ""},
		{"xen/host/owner", "internal/durable", ""},
		{"internal/e2e", "migrate", ""},
		{"internal/lab/guest", "internal/ether", ""},

		{"lvm", "xen", "neither stands above"},
		{"lvm", "network", "neither stands above"},
		{"network", "shaping", "neither stands above"},
		{"xen/xl", "lvm", "neither stands above"},
		{"shaping/shapingtest", "network", "neither stands above"},
		{"migrate", "accounting", "neither stands above"},
		{"xen/dom0", "xen/host/owner", "neither stands above"},
		{"xen/xl", "xen/host", "it stands above"},
		{"xen/host", "migrate", "it stands above"},
		{"migrate", "examples/move", "it stands above"},
		{"xen/dom0", "xen", "it stands above"},
		{"xen/host/owner", "xen/host", "it stands above"},
		{"internal/ether", "xen", "it stands above"},
		{"lvm", "lvm/lvmtest", "never the reverse"},
		{"migrate", "xen/xentest", "never the reverse"},
		{"xen/xl", "internal/tier", "only tests may"},
		{"examples/move", "internal/tier", "only tests may"},
		{"examples/move", "internal/lab", "only tests and internal tools"},
		{"network/networktest", "internal/nstest", "only tests and internal tools"},
		{"lvm/lvmtest", "internal/lab", "only tests and internal tools"},
		{"internal/ether", "internal/bench", "only tests and internal tools"},
	} {
		got := Layers(Package{Path: c.from, Imports: []string{"fmt", Module + "/" + c.to}})
		if c.want == "" {
			assert.Empty(t, got, "%s imports %s", c.from, c.to)
			continue
		}
		if assert.Len(t, got, 1, "%s imports %s", c.from, c.to) {
			assert.Contains(t, got[0], c.want)
			assert.Contains(t, got[0], fmt.Sprintf("%s imports %s: ", c.from, c.to))
		}
		assert.Empty(t, Layers(Package{Path: c.from, TestImports: []string{Module + "/" + c.to}}), "tests are free")
	}
}

func TestCorners(t *testing.T) {
	for _, c := range []struct {
		from, to string
		ok       bool
	}{
		{"xen/libvirt", "github.com/digitalocean/go-libvirt/socket", true},
		{"xen/libvirt/libvirttest", "libvirt.org/go/libvirtxml", true},
		{"xen/xl", "github.com/digitalocean/go-libvirt", false},
		{"xen/libvirt2", "github.com/digitalocean/go-libvirt", false},
		{"network", "github.com/vishvananda/netlink/nl", true},
		{"shaping/shapingtest", "github.com/vishvananda/netns", true},
		{"accounting", "github.com/vishvananda/netlink", true},
		{"internal/lab/isp", "github.com/vishvananda/netns", true},
		{"internal/e2e", "github.com/vishvananda/netlink", true},
		{"xen/host", "github.com/vishvananda/netlink", false},
		{"network", "github.com/coreos/go-iptables/iptables", true},
		{"internal/lab", "github.com/coreos/go-iptables/iptables", false},
		{"lvm", "github.com/vishvananda/netlinkish", true},
	} {
		for _, p := range []Package{{Path: c.from, Imports: []string{c.to}}, {Path: c.from, TestImports: []string{c.to}}} {
			assert.Equal(t, c.ok, len(Corners(p)) == 0, "%+v", p)
		}
	}
}

func TestExec(t *testing.T) {
	for from, ok := range map[string]bool{
		"xen/dom0": true, "xen/dom0/dom0test": true, "internal/lab": true, "internal/bench": true, "internal/e2e": true,
		"xen": false, "xen/dom0x": false, "lvm": false, "examples/agent": false, "internal/ether": false, "": false,
	} {
		assert.Equal(t, ok, len(Exec(Package{Path: from, Imports: []string{"os", "os/exec"}})) == 0, from)
		assert.Empty(t, Exec(Package{Path: from, TestImports: []string{"os/exec"}}), "tests are free")
	}
}

func TestSource(t *testing.T) {
	for text, want := range map[string]string{
		`func main() {}`:                                "",
		`const a = 1`:                                   "",
		`var ErrBusy = errors.New("busy")`:              "",
		`var a, b = errors.New("a"), errors.New("b")`:   "",
		`var name = regexp.MustCompile("^a$")`:          "",
		`var _ io.Reader = (*T)(nil)`:                   "",
		"//go:embed image.txt\nvar image []byte":        "",
		"var (\n\t//go:embed a\n\ta string\n)":          "",
		`var ErrNotOwner = owner.ErrNotOwner`:           "",
		`var ErrNotOwner = owner.Default`:               "var ErrNotOwner",
		`var table = crc32.MakeTable(crc32.Castagnoli)`: "",
		`func (t T) init() {}`:                          "",
		`func f() { var a int; _ = a }`:                 "",
		strings.Repeat("\n", MaxLines-1):                "",
		`func init() {}`:                                "a.go:2: func init",
		`var count int`:                                 "a.go:2: var count",
		`var names = map[string]int{}`:                  "var names",
		`var units = []string{"k"}`:                     "var units",
		`var a, b = errors.New("a"), 1`:                 "var a",
		"var (\n\tErr = errors.New(\"\")\n\tx = 1\n)":   "a.go:4: var x",
		`var a = f()`:                                   "var a",
		`var a = x.y.New("")`:                           "var a",
		strings.Repeat("\n", MaxLines):                  "has 301 lines",
	} {
		got, err := Source("a.go", []byte("package a\n"+text))
		require.NoError(t, err, text)
		if want == "" {
			assert.Empty(t, got, text)
			continue
		}
		if assert.Len(t, got, 1, text) {
			assert.Contains(t, got[0], want)
		}
	}
	got, err := Source("a_test.go", []byte("package a\nvar count int\nfunc init() {}\n"))
	require.NoError(t, err)
	assert.Equal(t, []string{"a_test.go:3: func init: let the caller construct what it needs"}, got)

	got, err = Source("a.go", []byte("// Code generated by x. DO NOT EDIT.\n\npackage a\nvar count int\n"))
	require.NoError(t, err)
	assert.Empty(t, got)

	_, err = Source("a.go", []byte("package"))
	assert.Error(t, err)
}

func TestTopLevel(t *testing.T) {
	assert.Empty(t, TopLevel([]string{"xen", "go.mod", "README.md", ".ci", ".golangci.yml"}))
	assert.Len(t, TopLevel([]string{"utils", "go", "doc", "cover.out", "Makefile"}), 5)
}
