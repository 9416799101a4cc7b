package xenstoretest_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/xenhost/xenhost/xen/xenstore"
	"github.com/xenhost/xenhost/xen/xenstore/xenstoretest"
)

// A test sees how its code bears a guest without rights and a daemon that hangs.
func Example() {
	ctx := context.Background()
	server := xenstoretest.New(nil)
	guest := server.DialAs(7, nil)
	defer guest.Close()
	err := guest.Write(ctx, "/libxl/7/type", []byte("pv"))
	fmt.Println(errors.Is(err, fs.ErrPermission))

	store := server.Dial(&xenstore.Options{Limit: 10 * time.Millisecond})
	defer store.Close()
	server.Hang()
	_, err = store.List(ctx, "/libxl")
	fmt.Println(err)
	server.Resume()
	// Output:
	// true
	// xenstore: list /libxl: xenstored has not answered for 10ms: context deadline exceeded
}
