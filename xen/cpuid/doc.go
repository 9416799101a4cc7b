// Package cpuid tells on which hosts a domain can go on, as far as their CPUs
// are concerned, and hides from a domain what some of them lack.
//
// A domain sees the CPU of the host that it was started on, through a policy of
// Xen. A move, or a restore, takes the policy along. What the target can not
// give, it mostly takes away without a word (Xen 4.17 looks at the highest leaf
// and two MSRs), and a program that goes on using it dies. So look before, as
// migrate.PlanMove does for a live move:
//
//	there, err := cpuid.Read(ctx, islay, "")            // xen-cpuid in that host's dom0
//	guest, err := cpuid.ReadDomain(ctx, curacao, "", domid)
//	err = there.Takes(xen.PVH, guest)                   // *MissingError names the features
//
// A domain that shall be able to run on each of some hosts is started with the
// lines that level them:
//
//	spec.CPUID, err = cpuid.Level(xen.PVH, here, there)
//
// Features change with the microcode and with Xen's command line: read them
// anew after each boot of a host. Parsing, comparing and levelling are pure.
package cpuid
