package xl_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/dom0/dom0test"
	"github.com/xenhost/xenhost/xen/xl"
)

// What the driver runs and makes of the answers; in a dom0 the Runner is
// dom0.Local{}.
func Example() {
	answer := dom0test.Func(func(_ context.Context, cmd dom0.Cmd) error {
		fmt.Println("$", strings.Join(cmd.Args, " "))
		table := bytes.NewBufferString("Name                                        ID   Mem VCPUs\tState\tTime(s)   UUID                            Reason-Code\tSecurity Label\n" +
			"Domain-0                                     0   900     1     r-----     209.7 00000000-0000-0000-0000-000000000000        -                -\n" +
			"web1                                         5   128     1     -b----       5.2 875214f6-96ce-438f-be48-5747c6298420        -                -\n")
		_, err := table.WriteTo(cmd.Stdout)
		return err
	})
	driver := xl.New(answer, nil)
	ctx := context.Background()

	domains, err := driver.List(ctx)
	fmt.Println(domains[0].Name, domains[0].ID, domains[0].State, domains[0].CPUTime, err)

	err = driver.Unpause(ctx, domains[0].UUID)
	fmt.Println("runs already:", err)

	_, err = driver.Create(ctx, xen.Spec{
		Name: "web1", UUID: uuid.MustParse("11111111-2222-4333-8444-555555555555"), Type: xen.PVH, Memory: 128 << 20, VCPUs: 1, Kernel: "/boot/vmlinuz",
	}, nil)
	fmt.Println(err)
	// Output:
	// $ xl list -v
	// web1 5 running 5.2s <nil>
	// $ xl list -v
	// runs already: <nil>
	// $ xl list -v
	// xen: create web1: a domain has this name: file already exists
}

// A disk that another domain has: what xl leaves of the attempt is taken away.
func ExampleDriver_AttachDisk() {
	id := uuid.MustParse("875214f6-96ce-438f-be48-5747c6298420")
	half := false // there is a device that does not work
	host := dom0test.Func(func(_ context.Context, cmd dom0.Cmd) error {
		fmt.Println("$", strings.Join(cmd.Args, " "))
		say := func(text string) error { _, err := cmd.Stdout.Write([]byte(text)); return err }
		switch cmd.Args[1] {
		case "list":
			if cmd.Args[2] == "-l" {
				return say(`[{"domid":5,"config":{"c_info":{"type":"pvh","name":"web1","uuid":"` + id.String() + `"}}}]`)
			}
			return say("Name                                        ID   Mem VCPUs\tState\tTime(s)   UUID                            Reason-Code\tSecurity Label\n" +
				"web1                                         5   128     1     -b----       5.2 " + id.String() + "        -                -\n")
		case "block-attach":
			half = true
			const text = "libxl: error: libxl_device.c:1337:device_hotplug_child_death_cb: script: Device /dev/dm-2 is mounted in a guest domain,\n"
			_, _ = cmd.Stderr.Write([]byte(text))
			return &dom0.Error{Args: cmd.Args, ExitCode: 1, Stderr: text}
		case "block-detach":
			half = false
		case "block-list":
			if half {
				return say("Vdev  BE  handle state evt-ch ring-ref BE-path\n51728 0   5      2     -1     -1       /local/domain/0/backend/vbd/5/51728\n")
			}
			return say("Vdev  BE  handle state evt-ch ring-ref BE-path\n")
		}
		return nil
	})
	err := xl.New(host, nil).AttachDisk(context.Background(), id, xen.Disk{Dev: "xvdb", Path: "/dev/guests/data"})
	fmt.Println(err)
	// Output:
	// $ xl list -v
	// $ xl list -l 5
	// $ xl block-attach 5 format=raw,vdev=xvdb,access=rw,backendtype=phy,target=/dev/guests/data
	// $ xl block-list 5
	// $ xl block-detach 5 xvdb
	// $ xl block-list 5
	// xen: attach disk 875214f6-96ce-438f-be48-5747c6298420: in use: script: Device /dev/dm-2 is mounted in a guest domain,
}
