// Package privcmd asks the hypervisor itself which domains there are, by one
// hypercall through /dev/xen/privcmd, without a command, a daemon or C.
//
//	xen0, err := privcmd.Open()
//	domains, err := xen0.List(ctx) // XEN_SYSCTL_getdomaininfolist
//
// It is a xen.Lister that costs microseconds where xl list costs a process, and
// it has CPU time in nanoseconds where xl has tenths of a second. It changes
// nothing. What it does not know is names: Domain.Name is empty.
//
// The layout of what Xen answers belongs to the version of its control
// interface, and not to us. Open therefore asks for the one version that this
// package knows (0x15: Xen 4.17 to 4.20, on x86), and measures that Xen writes
// as many bytes a domain as that version has; anything else is
// errors.ErrUnsupported. Take xl.Driver as the lister then.
package privcmd
