// Package xenlab boots real Xen hosts on any Linux machine: Xen 4.17 and Debian
// bookworm under QEMU's software emulation, without KVM or Xen here. It takes
// root, 4 GB of disk and 2 GB of memory a host.
//
//	world: network namespace xenhost-lab
//	isp   203.0.113.254/24 ─┬─ curacao eth1 / bridge xenext 203.0.113.1    islay .2   the ISP's switch; the namespace is the Internet
//	                        ├─ curacao eth3 (down)                         islay      a second way to the ISP's switch, for bonds
//	mgmt  10.77.0.254/24   ─┼─ curacao eth0 10.77.0.1                      islay .2   ssh from here
//	xover (no address)     ─┴─ curacao eth2 / bridge xenint 192.168.0.1    islay .2   the crossover cable: private guests, moves
//
// A test in tier lab:
//
//	func TestOnXen(t *testing.T) {
//		lab := xenlab.Start(t)                      // curacao and islay as after their first boot, in seconds
//		curacao := lab.MustHost(t, "curacao")
//		curacao.Test(t, "github.com/xenhost/xenhost/lvm", nil)   // that package's tests, inside its dom0
//		out, err := curacao.Run(t.Context(), "xl", "list")       // a command in dom0; Runner is a dom0.Runner
//		err = curacao.Kill(t.Context())             // power failure: unsynced data is gone
//		err = curacao.Boot(t.Context())             // cold boot from the disks as they are
//	}
//
// Each host has a volume group guests of 8 GB and, at GuestKernel and
// GuestRamdisk, a guest that writes records on its disk and acknowledges each
// once it is durable (internal/lab/guest, internal/lab/record). An Observer in
// the namespace collects the acknowledgements by one clock.
//
// # What to know
//
// There is one lab a machine: Open waits for the process that has it.
//
// The system of a host is built once, in a few minutes, and cached by a hash of
// its recipe. The first start of a host is a cold boot; the state after it is
// saved, and later starts resume that in seconds, disks included. Only a failed
// boot is tried again, once, and counted: "boots retried: 1".
//
// Emulated time is not real time: measure bytes, counts, order and state, and
// ratios at most. ssh carries about 2 MB/s; keep volumes at 32 to 64 MB. A host
// has one CPU, and about 1.2 GB for guests of 128 MB.
//
// The CPU model is not to be changed lightly: see DefaultCPU. Xen's own block
// script is replaced, as it can take longer than the 40 s that libxl grants.
package xenlab
