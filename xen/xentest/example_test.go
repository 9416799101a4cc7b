package xentest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/xentest"
)

func Example() {
	ctx := context.Background()
	host := xentest.New(&xentest.Options{Memory: 1 << 30, AnyDisk: true})
	web1 := xen.Spec{
		Name: "web1", UUID: uuid.New(), Type: xen.PVH, Memory: 512 << 20, VCPUs: 1, Kernel: "/boot/vmlinuz",
		Disks: []xen.Disk{{Dev: "xvda", Path: "/dev/guests/web1"}},
	}
	_, err := host.Create(ctx, web1, nil)
	fmt.Println("web1:", err)

	web2 := web1.Clone()
	web2.Name, web2.UUID = "web2", uuid.New()
	_, err = host.Create(ctx, web2, nil)
	fmt.Println(err)
	web2.Memory, web2.Disks = 256<<20, nil
	_, err = host.Create(ctx, web2, &xen.CreateOptions{Paused: true})
	fmt.Println("web2:", err)

	_ = host.GuestReboot(web1.UUID)
	fmt.Print(host)

	how, err := host.Shutdown(ctx, web1.UUID, &xen.ShutdownOptions{Grace: time.Minute})
	fmt.Println("web1:", how, err)
	host.PowerOff()
	_, err = host.List(ctx)
	fmt.Println(err)
	// Output:
	// web1: <nil>
	// xen: create web2: not enough free memory (506 MiB, needs 518)
	// web2: <nil>
	// Name                        ID    Mem VCPUs  State
	// web2                         3    256     1  --p---
	// web1                         4    512     1  r-----
	// web1: clean <nil>
	// xen: list: host is switched off
}

// A guest that writes to its disk as long as it runs.
func ExampleProgram() {
	host := xentest.New(&xentest.Options{Program: func(ctx context.Context, g *xentest.Guest) {
		for i := 0; ; i++ {
			if err := g.Step(ctx, func() error { /* write to g.Disk("xvda") */ return nil }); err != nil {
				fmt.Println(g.Spec().Name, "ends; alive:", g.Alive())
				return
			}
		}
	}})
	spec := xen.Spec{Name: "web1", UUID: uuid.New(), Type: xen.PVH, Memory: 128 << 20, VCPUs: 1, Kernel: "/boot/vmlinuz"}
	for _, end := range []func() error{
		func() error { _, err := host.Shutdown(context.Background(), spec.UUID, nil); return err },
		func() error { return host.Destroy(context.Background(), spec.UUID) },
	} {
		if _, err := host.Create(context.Background(), spec, nil); err != nil {
			fmt.Println(err)
		}
		if err := end(); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// web1 ends; alive: true
	// web1 ends; alive: false
}

// Devices, and a disk that two domains can not have at a time.
func ExampleFake_AttachDisk() {
	ctx := context.Background()
	host := xentest.New(&xentest.Options{AnyDisk: true})
	web1 := xen.Spec{Name: "web1", UUID: uuid.New(), Type: xen.PVH, Memory: 128 << 20, VCPUs: 1, Kernel: "/boot/vmlinuz"}
	web2 := web1.Clone()
	web2.Name, web2.UUID = "web2", uuid.New()
	for _, spec := range []xen.Spec{web1, web2} {
		if _, err := host.Create(ctx, spec, nil); err != nil {
			fmt.Println(err)
		}
	}
	data := xen.Disk{Dev: "xvdb", Path: "/dev/guests/data"}
	fmt.Println(host.AttachDisk(ctx, web1.UUID, data))
	err := host.AttachDisk(ctx, web2.UUID, data)
	fmt.Println(errors.Is(err, xen.ErrBusy))
	fmt.Println(host.DetachDisk(ctx, web1.UUID, "xvdb"), host.AttachDisk(ctx, web2.UUID, data))
	// Output:
	// <nil>
	// true
	// <nil> <nil>
}

// A domain is saved on one host and goes on on another.
func ExampleFake_Save() {
	ctx := context.Background()
	curacao, islay := xentest.New(nil), xentest.New(&xentest.Options{Hostname: "islay"})
	spec := xen.Spec{Name: "web1", UUID: uuid.New(), Type: xen.PVH, Memory: 128 << 20, VCPUs: 1, Kernel: "/boot/vmlinuz"}
	if _, err := curacao.Create(ctx, spec, nil); err != nil {
		fmt.Println(err)
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(curacao.Save(ctx, spec.UUID, w, nil)) }()
	domain, err := islay.Restore(ctx, spec, r, nil)
	fmt.Println(domain.Name, domain.State, err)
	fmt.Print(islay)
	// Output:
	// web1 running <nil>
	// Name                        ID    Mem VCPUs  State
	// web1                         1    128     1  r-----
}

// The receiver gives up: the guest runs on at the sender.
func ExampleFake_SendTo() {
	ctx := context.Background()
	curacao, islay := xentest.New(nil), xentest.New(nil)
	spec := xen.Spec{Name: "web1", UUID: uuid.New(), Type: xen.PVH, Memory: 128 << 20, VCPUs: 1, Kernel: "/boot/vmlinuz"}
	if _, err := curacao.Create(ctx, spec, nil); err != nil {
		fmt.Println(err)
	}
	here, there := net.Pipe()
	go func() {
		islay.Fail("receive", errors.New("islay is full"))
		_, _ = islay.ReceiveFrom(ctx, spec, there)
		there.Close()
	}()
	err := curacao.SendTo(ctx, spec.UUID, here, nil)
	fmt.Println(err != nil)
	fmt.Print(curacao)
	// Output:
	// true
	// Name                        ID    Mem VCPUs  State
	// web1                         1    128     1  r-----
}

// An HVM domain has a CD-ROM drive; others read an image as a disk.
func ExampleFake_Insert() {
	ctx := context.Background()
	host := xentest.New(&xentest.Options{AnyDisk: true})
	spec := xen.Spec{Name: "web1", UUID: uuid.New(), Type: xen.PVH, Memory: 128 << 20, VCPUs: 1, Kernel: "/boot/vmlinuz"}
	if _, err := host.Create(ctx, spec, nil); err != nil {
		fmt.Println(err)
	}
	err := host.Insert(ctx, spec.UUID, "hdc", "/srv/rescue.iso")
	if errors.Is(err, errors.ErrUnsupported) {
		err = host.AttachDisk(ctx, spec.UUID, xen.Disk{Dev: "xvdp", Path: "/dev/guests/rescue-iso", ReadOnly: true})
	}
	fmt.Println(err)
	now, err := host.Config(ctx, spec.UUID)
	fmt.Println(now.Disks, err)
	// Output:
	// <nil>
	// [{xvdp /dev/guests/rescue-iso true false}] <nil>
}
