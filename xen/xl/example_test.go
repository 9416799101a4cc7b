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
