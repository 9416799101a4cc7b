package lvmtest_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/lvm/lvmtest"
)

// A wipe is killed half-way and power is lost: nobody gets the volume until
// Create was called again.
func Example() {
	dir, err := os.MkdirTemp("", "lvmtest")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	guests := lvmtest.New(dir, lvmtest.GroupSpec{Name: "guests", Size: 256 << 20})
	web1 := lvm.Spec{ID: lvm.ID{Group: "guests", Name: "web1"}, Size: 30 << 20}

	guests.Fail("wipe", errors.New("killed"))
	_, err = guests.Create(ctx, web1)
	fmt.Println(err)
	fmt.Println(guests.Boot(), guests.Activate(ctx, web1.ID))
	fmt.Print(guests)

	v, err := guests.Create(ctx, web1)
	fmt.Println(v.ID, v.Size, v.Active, err)
	fmt.Print(guests)
	// Output:
	// lvm: create guests/web1: not wiped yet: killed
	// <nil> lvm: activate guests/web1: not wiped yet
	// VOLUME       KIND   SIZE  STATE          FROM  TAGS
	// guests/web1  thick  32M   inactive,skip  -     xenhost.state=wiping
	// guests/web1 33554432 true <nil>
	// VOLUME       KIND   SIZE  STATE   FROM  TAGS
	// guests/web1  thick  32M   active  -     -
}
