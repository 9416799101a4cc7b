// Package libvirt drives the domains of one dom0 through libvirtd and its Xen
// driver (libxl), over libvirt's own protocol: pure Go, no C library.
//
//	driver := libvirt.New(nil) // xen:///system at /run/libvirt/libvirt-sock
//	defer driver.Close()
//	domain, err := driver.Create(ctx, spec, nil)
//	...
//	how, err := driver.Shutdown(ctx, spec.UUID, &xen.ShutdownOptions{Grace: time.Minute})
//
// It is for hosts whose guests libvirt manages already, and has the same roles as
// package xl. Use one of the two for a guest: libvirt sees only domains that it
// started itself, and what it remembers of them is not what xl changes.
//
// What it makes of libvirt:
//
//   - Every call has a time limit. libvirt's protocol has no way to take a call
//     back, so when ctx or the limit ends, the connection is dropped, the error
//     matches the context's, nothing of the call is left in this process, and
//     the next call connects anew. A daemon that hung may still do what it had
//     been asked for once it goes on: look before you try again. Create does so
//     by itself.
//   - Domains are found by UUID. They are transient: libvirt forgets them when
//     they end. The definitions that others made (virsh define) are seen as
//     taken names, and otherwise left alone.
//   - The domain's XML is made of typed values by an XML writer, after the spec
//     was validated; the types, the architecture and the words for them come
//     from what the host says it can do.
//   - Each change is read back. An error is classed by libvirt's error code, and
//     where that tells nothing (a failed start is always "internal error") by
//     what the host shows: missing files, no memory, a disk that another domain
//     has. What libxl itself said is in /var/log/libvirt/libxl/libxl-driver.log.
//   - What a failed attach left, libvirt has forgotten and libxl has not. It is
//     taken away by xl, the one other command that this package runs; see
//     Options.Runner.
//   - A save is the sending half of a migration, to ourselves, and a restore
//     comes through a named pipe: no file in this dom0 holds a guest's memory.
//   - What libvirt or this host can not do is errors.ErrUnsupported, and
//     Features tells it beforehand by asking the daemon. No libvirt can rename a
//     domain, change what a transient one will be after its next start
//     (UpdateConfig), or leave one paused that was saved.
package libvirt
