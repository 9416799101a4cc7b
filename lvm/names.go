package lvm

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	newName      = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	existingName = regexp.MustCompile(`^[A-Za-z0-9+_.][A-Za-z0-9+_.-]{0,126}$`)
	extentRange  = regexp.MustCompile(`^/[^:\s]+:[0-9]+-[0-9]+$`)
	tagForm      = regexp.MustCompile(`^[A-Za-z0-9_+./=!:#&][A-Za-z0-9_+./=!:#&-]*$`)
)

// ValidName returns nil for a name that Create and Snapshot take: a lower-case
// letter, then at most 62 lower-case letters, digits and hyphens, and not one
// that LVM keeps for itself (it refuses all that begin with snapshot or
// pvmove).
func ValidName(name string) error {
	if !newName.MatchString(name) {
		return fmt.Errorf("%w name %q: want a lower-case letter, then at most 62 lower-case letters, digits and hyphens", ErrInvalid, name)
	}
	for _, prefix := range []string{"snapshot", "pvmove"} {
		if strings.HasPrefix(name, prefix) {
			return fmt.Errorf("%w name %q: LVM keeps names that begin with %s for itself", ErrInvalid, name, prefix)
		}
	}
	return nil
}

// Valid returns nil for an ID that LVM could have: what others made is read,
// switched and removed under names that ValidName refuses.
func (id ID) Valid() error {
	for _, name := range []string{id.Group, id.Name} {
		if !existingName.MatchString(name) || name == "." || name == ".." {
			return fmt.Errorf("%w name %q", ErrInvalid, name)
		}
	}
	return nil
}

// ValidTag returns nil for 1 to 1024 letters, digits and _+.-/=!:#& that do
// not begin with a hyphen.
func ValidTag(tag string) error {
	if len(tag) > 1024 || !tagForm.MatchString(tag) {
		return fmt.Errorf("%w tag %q: want 1 to 1024 letters, digits and _+.-/=!:#&, no hyphen first", ErrInvalid, tag)
	}
	return nil
}

// ValidTags refuses what ValidTag refuses, and TagWiping, which is not the
// caller's to set or clear.
func ValidTags(tags ...string) error {
	for _, tag := range tags {
		if err := ValidTag(tag); err != nil {
			return err
		}
	}
	if slices.Contains(tags, TagWiping) {
		return fmt.Errorf("%w tag %q: it marks volumes that are being wiped", ErrInvalid, TagWiping)
	}
	return nil
}
