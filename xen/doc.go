// Package xen says what a domain is and which roles a hypervisor driver plays.
//
// A [Spec] describes a domain, [Domains] is what a driver can do with it.
// xl.Driver runs the xl command in a real dom0, libvirt.Driver speaks to a
// libvirtd there, and xentest.Fake is a whole simulated host for tests:
//
//	driver := xl.New(dom0.Local{}, nil) // or xentest.New(nil)
//	spec := xen.Spec{
//		Name: "web1", UUID: uuid.New(), Type: xen.PVH, Memory: 512 << 20, VCPUs: 1,
//		Kernel: "/boot/vmlinuz-guest", Cmdline: "root=/dev/xvda ro",
//		Disks: []xen.Disk{{Dev: "xvda", Path: "/dev/guests/web1"}},
//	}
//	domain, err := driver.Create(ctx, spec, nil)
//	...
//	how, err := driver.Shutdown(ctx, spec.UUID, nil) // xen.Clean or xen.Destroyed
//
// What a driver can do beyond that is a role each, to be asked for by a type
// assertion: [Saver], [Migrator], [Devices], [Media], [Resizer], [Scheduler],
// [Configurer], [Rebooter], [Consoler], [Screener]. [Featurer] tells what
// differs from host to host.
//
//	if saver, ok := driver.(xen.Saver); ok {
//		err = saver.Save(ctx, spec.UUID, w, &xen.SaveOptions{Then: xen.Running})
//	}
//
// The identity of a domain is its UUID. A domid lasts until the next reboot of
// the guest, and a name can be changed while the domain runs.
//
// Every verb reads back what it did, because xl's exit codes can not be
// trusted. Errors are *[Error] and carry a word to test with errors.Is:
// fs.ErrNotExist, fs.ErrExist, [ErrInvalid], [ErrNoMemory], [ErrBusy],
// [ErrDirty], [ErrNoAnswer], [ErrUndefined], errors.ErrUnsupported or a context
// error.
package xen
