package xen

import (
	"regexp"
	"strings"
)

var (
	nameForm   = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	deviceForm = regexp.MustCompile(`^xvd[a-p]$`)
	drivesForm = regexp.MustCompile(`^hd[a-d]$`)
	bootForm   = regexp.MustCompile(`^[cdn]{0,3}$`)
	cpuidForm  = regexp.MustCompile(`^0x[0-9a-f]{1,8}(,[0-9]{1,2})?:(e[abcd]x=[01x]{32})(,e[abcd]x=[01x]{32}){0,3}$`)
	linkForm   = regexp.MustCompile(`^[A-Za-z0-9_.][A-Za-z0-9_.-]{0,14}$`)
)

// ValidName reports whether a domain may be given this name: it starts with a
// small letter, goes on with small letters, digits and dashes, and is at most
// 63 bytes long. The endings --incoming and --migratedaway belong to xl, which
// gives them to the two halves of a domain that moves.
func ValidName(name string) bool {
	return nameForm.MatchString(name) &&
		!strings.HasSuffix(name, "--incoming") && !strings.HasSuffix(name, "--migratedaway")
}

// validLink reports whether a network interface in dom0 can have this name and
// xl can be told so: no comma, no blank, nothing that reads as an option.
func validLink(name string) bool {
	return linkForm.MatchString(name) && name != "." && name != ".."
}
