package xlcfg_test

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/xlcfg"
)

func ExampleRender() {
	text, err := xlcfg.Render(xen.Spec{
		Name: "web1", UUID: uuid.MustParse("875214f6-96ce-438f-be48-5747c6298420"), Type: xen.PVH,
		Memory: 512 << 20, VCPUs: 1, Kernel: "/boot/vmlinuz", Cmdline: `root=/dev/xvda motd="hello"`,
		Disks: []xen.Disk{{Dev: "xvda", Path: "/dev/guests/web1"}},
	})
	fmt.Print(text, err)
	// Output:
	// name = "web1"
	// uuid = "875214f6-96ce-438f-be48-5747c6298420"
	// type = "pvh"
	// memory = "512"
	// vcpus = "1"
	// kernel = "/boot/vmlinuz"
	// cmdline = "root=/dev/xvda motd=\"hello\""
	// on_poweroff = "destroy"
	// on_reboot = "restart"
	// on_crash = "destroy"
	// on_watchdog = "destroy"
	// on_soft_reset = "destroy"
	// disk = ["format=raw,vdev=xvda,access=rw,backendtype=phy,target=/dev/guests/web1"]
	// vif = []
	// <nil>
}

func ExampleParse() {
	config, err := xlcfg.Parse("/etc/xen/web1.cfg", `
name = 'web1'
memory = 512            # MiB
kernel = "/boot/vmlinuz"
disk = [ 'phy:/dev/guests/web1,xvda,w' ]
viridian = 1
`)
	if err != nil {
		fmt.Println(err)
		return
	}
	spec, unknown, err := config.Spec()
	fmt.Println(spec.Name, spec.Memory>>20, spec.Disks, unknown, err)

	_, err = xlcfg.Parse("/etc/xen/web2.cfg", "name = 'web2'\nvcpus = -1\n")
	fmt.Println(err)
	// Output:
	// web1 512 [{xvda /dev/guests/web1 false false}] [viridian] <nil>
	// /etc/xen/web2.cfg:2: config parsing error near `-1': lexical error
}
