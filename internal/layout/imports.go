package layout

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Module is the path of the module.
const Module = "github.com/xenhost/xenhost"

// A Package is what go list says of one, with paths relative to the module
// where they are inside it: "lvm", not "github.com/xenhost/xenhost/lvm".
type Package struct {
	Path        string
	Imports     []string // of files that are not tests
	TestImports []string // of tests, inside and outside the package
}

// An area is a folder and everything below it that is not an area itself.
type area struct {
	path  string
	level int // areas import lower ones, never one of their own level
}

const tools = 100 // may import everything, and only tests and tools import them

// areas returns the house.
func areas() []area {
	return []area{
		{"internal/lab", tools}, {"internal/e2e", tools}, {"internal/bench", tools}, {"internal/layout", tools}, {"internal/nstest", tools},
		{"examples", 6}, {"internal/cli", 5},
		{"migrate", 4}, {"accounting", 4},
		{"xen/host", 3},
		{"xen", 2}, {"lvm", 2}, {"network", 2}, {"shaping", 2},
		{"xen/dom0", 1}, {"xen/host/owner", 1},
		{"internal", 0},
		{"", 0}, // the root: doc.go
	}
}

// areaOf returns the innermost area of a package.
func areaOf(pkg string) area {
	var best area
	for _, a := range areas() {
		if under(pkg, a.path) && len(a.path) > len(best.path) {
			best = a
		}
	}
	return best
}

func under(pkg, folder string) bool {
	return folder == "" || pkg == folder || strings.HasPrefix(pkg, folder+"/")
}

// inHouse cuts Module off an import path.
func inHouse(imported string) (string, bool) {
	if imported == Module {
		return "", true
	}
	return strings.CutPrefix(imported, Module+"/")
}

// isTest reports whether a package serves tests: lvmtest, dom0test.
func isTest(pkg string) bool { return strings.HasSuffix(path.Base(pkg), "test") }

// Layers checks what the packages of the house import of each other.
func Layers(p Package) (breaches []string) {
	from := areaOf(p.Path)
	for _, imported := range p.Imports {
		target, ok := inHouse(imported)
		if !ok {
			continue
		}
		say := func(why string) {
			breaches = append(breaches, fmt.Sprintf("%s imports %s: %s", p.Path, target, why))
		}
		to := areaOf(target)
		switch {
		case from.level == tools:
		case to.level == tools:
			say("only tests and internal tools may")
		case target == "internal/tier" && !isTest(p.Path):
			say("only tests may; production code knows no tiers")
		case isTest(target) && !isTest(p.Path) && from.path != "examples":
			say("a test package imports what it tests, never the reverse")
		case to.path == from.path:
		case to.level == from.level:
			say("neither stands above the other; declare the small interface that you need")
		case to.level > from.level:
			say("it stands above")
		}
	}
	return breaches
}

// foreign are modules that stay in one corner, so that the rest of the house
// can be imported without them.
type foreign struct {
	modules []string
	where   []string
}

func corners() []foreign {
	return []foreign{
		{[]string{"github.com/digitalocean/go-libvirt", "libvirt.org/go/libvirtxml"}, []string{"xen/libvirt"}},
		{[]string{"github.com/vishvananda/netlink", "github.com/vishvananda/netns"},
			[]string{"network", "shaping", "accounting", "internal/nstest", "internal/lab", "internal/e2e", "internal/bench"}},
		{[]string{"github.com/coreos/go-iptables"}, []string{"network", "shaping", "accounting", "internal/bench"}},
	}
}

// Corners checks who imports the modules that belong in one place, tests
// included.
func Corners(p Package) (breaches []string) {
	for _, imported := range slices.Concat(p.Imports, p.TestImports) {
		for _, f := range corners() {
			for _, module := range f.modules {
				if under(imported, module) && !slices.ContainsFunc(f.where, func(w string) bool { return under(p.Path, w) }) {
					breaches = append(breaches, fmt.Sprintf("%s imports %s: only %s may", p.Path, imported, strings.Join(f.where, ", ")))
				}
			}
		}
	}
	return breaches
}

// Exec checks that commands run through dom0.Runner alone.
func Exec(p Package) []string {
	for _, w := range []string{"xen/dom0", "internal/lab", "internal/bench", "internal/e2e"} {
		if under(p.Path, w) {
			return nil
		}
	}
	if slices.Contains(p.Imports, "os/exec") {
		return []string{fmt.Sprintf("%s imports os/exec: run commands through a dom0.Runner", p.Path)}
	}
	return nil
}
