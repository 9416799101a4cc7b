package xen

import (
	"context"
	"slices"
)

// Features are the abilities that differ from host to host and from driver to
// driver. A role that a driver does not have at all is one that it does not
// implement.
type Features struct {
	// Types that Create takes here.
	Types []Type `json:"types"`
	// Live are the types that can be moved while they run. The others can be
	// saved and restored.
	Live []Type `json:"live"`
	// Missing are the verbs of the driver's roles that it refuses with
	// errors.ErrUnsupported here, as rename.
	Missing []string `json:"missing,omitempty"`
}

// Featurer tells what a driver can do on its host, as it is now.
type Featurer interface {
	Features(ctx context.Context) (Features, error)
}

// FeaturesOf reads them from virt_caps of xl info: PVH and HVM need hvm; to be
// moved live they need hap, or shadow as PV domains do, which is off in Xen
// since XSA-495.
func FeaturesOf(virtCaps []string) (f Features) {
	has := func(word string) bool { return slices.Contains(virtCaps, word) }
	if has("hvm") {
		f.Types = append(f.Types, PVH, HVM)
		if has("hap") || has("shadow") {
			f.Live = append(f.Live, PVH, HVM)
		}
	}
	if has("pv") {
		f.Types = append(f.Types, PV)
		if has("shadow") {
			f.Live = append(f.Live, PV)
		}
	}
	return f
}
