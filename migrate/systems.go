package migrate

import (
	"fmt"
	"slices"

	"github.com/xenhost/xenhost/xen/host"
)

// fragile is a kind of guest that does not survive a live move.
type fragile struct {
	system string
	// from is the first release that breaks and before the first that does not
	// any more; zero values are "all".
	from, before [3]int
	mended       [][3]int // within these releases, the first of each line that is mended
	what, source string
}

// fragiles is what is known of guests that were moved live. Nothing is in it
// that is not told by somebody who lost guests.
func fragiles() []fragile {
	const tornado, bitfolk = "tornadovps.com/documentation/live-migration", "tools.bitfolk.com/wiki/Suspend_and_restore"
	return []fragile{
		{system: "linux", before: [3]int{4, 2}, what: "file systems were damaged", source: bitfolk},
		{system: "linux", from: [3]int{4, 11}, before: [3]int{5}, mended: [][3]int{{4, 14, 97}, {4, 19, 17}, {4, 20, 4}},
			what: "it breaks", source: tornado},
		{system: "netbsd", what: "it breaks", source: tornado},
		{system: "openbsd", what: "it breaks", source: tornado},
	}
}

// breaks says why a guest with that System does not survive a live move, or "".
// A system of which no release is told is taken to be a good one, unless none is.
func breaks(system string) string {
	if system == "" {
		return ""
	}
	name, release, err := host.ParseSystem(system)
	if err != nil {
		return err.Error()
	}
	for _, f := range fragiles() {
		all := f.before == [3]int{}
		if f.system != name || !all && release == [3]int{} || slices.Compare(release[:], f.from[:]) < 0 || !all && slices.Compare(release[:], f.before[:]) >= 0 {
			continue
		}
		if slices.ContainsFunc(f.mended, func(m [3]int) bool { return m[0] == release[0] && m[1] == release[1] && release[2] >= m[2] }) {
			continue
		}
		return fmt.Sprintf("the guest runs %s: %s when it is moved live (%s)", system, f.what, f.source)
	}
	return ""
}
