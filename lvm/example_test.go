package lvm_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/lvm/lvmtest"
)

// host is a Manager: lvm.New(dom0.Local{}, nil) in a dom0.
func host() (m lvm.Manager, done func()) {
	dir, err := os.MkdirTemp("", "lvm")
	if err != nil {
		panic(err)
	}
	return lvmtest.New(dir, lvmtest.GroupSpec{Name: "guests", Size: 128 << 20}), func() { os.RemoveAll(dir) }
}

func Example() {
	m, done := host()
	defer done()
	ctx := context.Background()
	web1 := lvm.ID{Group: "guests", Name: "web1"}

	v, err := m.Create(ctx, lvm.Spec{ID: web1, Size: 30 << 20, Tags: []string{"xenhost.owner=curacao"}})
	fmt.Println(v.ID, v.Kind, v.Size>>20, "MiB", v.Tags, v.Active, err)

	snap, err := m.Snapshot(ctx, web1, "web1-copy", nil)
	fmt.Println(snap.ID, "of", snap.Origin, err)

	disk, err := m.Open(ctx, web1)
	if err != nil {
		panic(err)
	}
	_, err = disk.WriteAt([]byte("hello"), 5000)
	fmt.Println(errors.Join(err, disk.Sync(), disk.Close()))

	changed, err := m.Changed(ctx, snap.ID)
	fmt.Println(changed, err)

	fmt.Println(m.Remove(ctx, web1))
	fmt.Println(m.Remove(ctx, snap.ID), m.Remove(ctx, web1))
	// Output:
	// guests/web1 thick 32 MiB [xenhost.owner=curacao] true <nil>
	// guests/web1-copy of web1 <nil>
	// <nil>
	// [4096+4096] <nil>
	// lvm: remove guests/web1: in use: needed by web1-copy
	// <nil> <nil>
}

// The way back after an upgrade that went wrong, and room for a guest that runs.
func Example_merge() {
	m, done := host()
	defer done()
	ctx := context.Background()
	web1, err := m.Create(ctx, lvm.Spec{ID: lvm.ID{Group: "guests", Name: "web1"}, Size: 8 << 20})
	fmt.Println(err)
	write := func(text string) error {
		disk, err := m.Open(ctx, web1.ID)
		if err != nil {
			return err
		}
		_, err = disk.WriteAt([]byte(text), 0)
		return errors.Join(err, disk.Close())
	}
	fmt.Println(write("works "))
	before, err := m.Snapshot(ctx, web1.ID, "web1-before", nil)
	fmt.Println(err, write("broken"))

	web1, err = m.Merge(ctx, before.ID)
	fmt.Println(web1.ID, err)
	data, err := os.ReadFile(web1.Path)
	fmt.Println(string(data[:6]), err)

	web1, err = m.Grow(ctx, web1.ID, 15<<20)
	fmt.Println(web1.Size>>20, "MiB", err)
	_, err = m.Grow(ctx, web1.ID, 1<<30)
	fmt.Println(err)
	// Output:
	// <nil>
	// <nil>
	// <nil> <nil>
	// guests/web1 <nil>
	// works  <nil>
	// 16 MiB <nil>
	// lvm: grow guests/web1: not enough free space (28 extents, needs 252)
}

// What a volume would get, or why not, without making it.
func ExampleFits() {
	guests := lvm.Group{Name: "guests", Size: 10 << 30, Free: 26 * 4 << 20, Extent: 4 << 20}
	web1 := lvm.Spec{ID: lvm.ID{Group: "guests", Name: "web1"}, Size: 9 << 30}
	_, err := lvm.Fits(guests, nil, web1)
	fmt.Println(err)
	web1.Size = 1e8
	fmt.Println(lvm.Fits(guests, nil, web1))
	// Output:
	// not enough free space (26 extents, needs 2304)
	// 100663296 <nil>
}
