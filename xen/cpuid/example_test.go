package cpuid_test

import (
	"fmt"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/cpuid"
)

// Two hosts, of which the older one has no AVX2.
func ExampleLevel() {
	newer := cpuid.Set{"7b0": 1<<5 | 1<<0} // avx2, fsgsbase
	older := cpuid.Set{"7b0": 1 << 0}
	host := func(s cpuid.Set) cpuid.Host { // as of Read
		sets := map[xen.Type]cpuid.Set{xen.PVH: s}
		return cpuid.Host{Vendor: "GenuineIntel", Max: sets, Usual: sets, MaxLeaf: map[xen.Type]uint32{xen.PVH: 13}}
	}
	hosts := []cpuid.Host{host(newer), host(older)}
	fmt.Println(newer.Minus(older))
	guest := cpuid.Policy{Leaves: []cpuid.Leaf{
		{Leaf: 0, Subleaf: -1, Regs: [4]uint32{13, 0x756e6547, 0x6c65746e, 0x49656e69}},
		{Leaf: 7, Subleaf: 0, Regs: [4]uint32{0, 0x21, 0, 0}},
	}}
	fmt.Println(hosts[0].Takes(xen.PVH, guest))
	fmt.Println(hosts[1].Takes(xen.PVH, guest))

	lines, err := cpuid.Level(xen.PVH, hosts...)
	fmt.Println(lines, err)
	// Output:
	// [avx2]
	// <nil>
	// the CPU of the host lacks avx2
	// [0x7,0:ebx=xxxxxxxxxxxxxxxxxxxxxxxxxx0xxxxx] <nil>
}
