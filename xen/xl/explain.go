package xl

import (
	"errors"
	"io/fs"
	"regexp"
	"strings"

	"github.com/xenhost/xenhost/xen"
)

var (
	// talk is what xl says when all is well.
	talk = regexp.MustCompile(`^(Parsing config from|got a tsc mode string|Shutting down domain|Rebooting domain|Waiting for|Saving to|Loading new save|Savefile contains|setting dom\d)|^(libxl|xc|xl): (warning|notice|info|progress|detail|debug):|^(W|w)arning|^WARNING`)
	// place is where in libxl's source a message comes from.
	place = regexp.MustCompile(`^(libxl|xc): (critical|error): (panic: )?([a-z0-9_]+\.c:\d+:( )?([a-z0-9_]+: )?)?(Domain \d+:)?`)
	// exits says only that some script failed; what the script said comes next.
	exits = regexp.MustCompile(`libxl_report_child_exitstatus`)
	// What the classes of errors are called in xl's words.
	notThere    = regexp.MustCompile(`is an invalid domain identifier \(rc=-6\)|Domain '.*' does not exist|maybe this domain does not exist|unable to get domain type|unable to find domain info|No such process|^Error: Device .* not connected|^Unknown device`)
	isThere     = regexp.MustCompile(`Domain with name ".*" already exists|device already exists in xenstore|An interface with name .* already exists`)
	noMemory    = regexp.MustCompile(`[Oo]ut of memory|Cannot allocate memory|[Ff]ailed to free memory for the domain|cannot claim memory`)
	busy        = regexp.MustCompile(`is mounted .*in (a guest|the privileged) domain`)
	invalid     = regexp.MustCompile(`failed to stat|failed to open file|Could not find bridge device|config parsing error|Invalid parameter|out of range|must be less than or equal|Setting vcpu affinity: Invalid argument|however maxcpus is|Failed to open cdrom file|Cannot stat file`)
	timedOut    = regexp.MustCompile(`timed out while waiting for .* to be removed|because of timeout`)
	silent      = regexp.MustCompile(`guest didn't acknowledge|did not respond to suspend request`)
	unsupported = regexp.MustCompile(`Failed to enable logdirty|requires an HVM domain|PV control interface not available|Failed to set CPUID policy`)
	// missing follows every failed create, so it means something only in the
	// first line.
	missing = regexp.MustCompile(`Non-existant domain`)
	// owner is the domid that a message speaks of.
	owner = regexp.MustCompile(`: Domain (\d+):`)
)

// said is a failure of xl with its meaning.
type said struct {
	means error  // nil: unknown
	text  string // the line that told, without its place in libxl's source
	cause error  // *dom0.Error
}

// Error reads as "in use: script: Device /dev/dm-2 is mounted in a guest domain".
func (e *said) Error() string {
	switch {
	case e.text == "":
		return e.cause.Error()
	case e.means == nil:
		return e.text
	}
	return e.means.Error() + ": " + e.text
}

// Unwrap returns the meaning and the command's own error.
func (e *said) Unwrap() []error {
	if e.means == nil {
		return []error{e.cause}
	}
	return []error{e.means, e.cause}
}

// explain finds the first line that tells what went wrong. The lines after it
// are mostly about cleaning up.
func explain(stderr string, cause error) error {
	e := &said{cause: cause}
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(line)
		if line == "" || talk.MatchString(line) || exits.MatchString(line) {
			continue
		}
		first := e.text == ""
		if first {
			e.text = place.ReplaceAllString(line, "")
		}
		if first && missing.MatchString(line) {
			e.means = fs.ErrNotExist
			return e
		}
		if means := meaning(line); means != nil {
			e.means, e.text = means, place.ReplaceAllString(line, "")
			return e
		}
	}
	return e
}

// meaning classes one error line; nil is unknown.
func meaning(line string) error {
	switch {
	case notThere.MatchString(line):
		return fs.ErrNotExist
	case isThere.MatchString(line):
		return fs.ErrExist
	case noMemory.MatchString(line):
		return xen.ErrNoMemory
	case busy.MatchString(line):
		return xen.ErrBusy
	case invalid.MatchString(line):
		return xen.ErrInvalid
	case timedOut.MatchString(line):
		return xen.ErrDirty
	case silent.MatchString(line):
		return xen.ErrNoAnswer
	case unsupported.MatchString(line):
		return errors.ErrUnsupported
	}
	return nil
}

// mentions reports whether a message on stderr speaks of this domid.
func mentions(stderr string, domid string) bool {
	for _, m := range owner.FindAllStringSubmatch(stderr, -1) {
		if m[1] == domid {
			return true
		}
	}
	return false
}
