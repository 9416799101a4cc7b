// Package lvmtest has a Fake of LVM and the suite that lvm.Manager must pass.
//
// A Fake behaves like LVM on a host: it rounds sizes to extents, refuses the
// names and sizes that lvm.Client refuses, keeps activation-skip flags over a
// Boot, and gives a new volume what the last owner left until it is wiped.
// Volumes are sparse files under a directory of the caller's: their Path can be
// opened while they are active, and is gone while they are not.
//
//	f := lvmtest.New(t.TempDir(), lvmtest.GroupSpec{Name: "guests"})
//	v, err := f.Create(ctx, lvm.Spec{ID: lvm.ID{Group: "guests", Name: "web1"}, Size: 64 << 20})
//	err = f.Hold(v.ID)   // a domain has it open: Remove and Deactivate are refused
//	f.Fail("wipe", err)  // the next wipe stops half-way
//	err = f.Boot()       // power was lost: what has no Skip is active again
//	fmt.Print(f)         // a table as lvs prints it
//
// It does not model: writes that are lost because nobody called Sync; the volume
// that Grow wipes first; the metadata of pools, and pools that run full, which
// Fill tells of and which go on taking writes.
//
// The suite has two halves, TestMetadata and TestContent, because real LVM can
// run without the kernel's device-mapper: then it has names, sizes, tags and
// flags, and no devices.
package lvmtest
