package libvirt_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen/libvirt"
)

// What the driver makes of a libvirtd's answers; in a dom0 no Dial is needed.
func Example() {
	driver := libvirt.New(&libvirt.Options{Dial: libvirt.DialExample})
	defer driver.Close()
	ctx := context.Background()

	domains, err := driver.List(ctx)
	for _, d := range domains {
		fmt.Println(d.Name, d.ID, d.State, d.Memory>>20, d.CPUTime)
	}
	fmt.Println(err)

	web1 := domains[0].UUID
	fmt.Println("runs already:", driver.Unpause(ctx, web1))
	err = driver.Rename(ctx, web1, "web2")
	fmt.Println(err)
	fmt.Println("can not be done here:", errors.Is(err, errors.ErrUnsupported))
	_, err = driver.Lookup(ctx, uuid.MustParse("11111111-2222-4333-8444-555555555555"))
	fmt.Println(err)
	// Output:
	// web1 2 running 128 9.58002176s
	// <nil>
	// runs already: <nil>
	// xen: rename b263ad99-692d-4062-89d6-71de96ca83df: unsupported operation: this function is not supported by the connection driver: virDomainRename (libvirt error 3)
	// can not be done here: true
	// xen: lookup 11111111-2222-4333-8444-555555555555: file does not exist: Domain not found (libvirt error 42)
}

// A daemon that hangs ends in the context's error, like any other call that
// takes too long.
func Example_hung() {
	hung := func(context.Context) (net.Conn, error) {
		conn, _ := net.Pipe() // nobody reads at the other end
		return conn, nil
	}
	driver := libvirt.New(&libvirt.Options{Dial: hung})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err := driver.List(ctx)
	fmt.Println(err)
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output:
	// xen: list: open xen:///system: libvirtd did not answer in time: context deadline exceeded
	// true
}
