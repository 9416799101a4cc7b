package xenlab

import (
	"fmt"
	"strings"
)

// DefaultCPU is an AMD CPU with nested paging, so that Xen runs PVH and HVM
// guests, and without AVX: QEMU's emulation of "max" loses AVX state in dom0
// and corrupts programs there.
const DefaultCPU = "Opteron_G3,+svm,+npt,+sse4.1,+sse4.2,+ssse3,+rdrand,+fsgsbase,-rdtscp"

const (
	memoryMiB = 2048 // of a host
	dom0MiB   = 768  // of that; about 1.2 GB are left for guests
	dataSize  = "8G" // the second disk: the volume group guests
)

// disk has what a host wrote survive the end of QEMU at any moment: it is in
// this machine's page cache, qcow2's tables included, before the host hears
// that the write is done. LVM writes its metadata without a flush, and counts
// on a disk that keeps it. What dom0 had only in its memory is lost.
const disk = ",format=qcow2,if=virtio,cache.writeback=off,cache.no-flush=on"

// Machine is what a host is made of. Its argv is a pure function.
type Machine struct {
	Name   string
	Number int // from 1: the last byte of its addresses
	CPU    string

	Xen, Kernel, Initrd string // files to boot
	Root, Data          string // qcow2 disks
	Monitor             string // socket of QEMU's machine protocol
	Serial              string // file for the serial console
}

// nics are the interfaces of a host in order: eth0 first. Each is named after
// the switch it is plugged in to.
func nics() []string { return []string{"mgmt", "isp", "xover", "isp"} }

// tap returns the name of the n-th interface's other end, in the namespace.
func (m Machine) tap(n int) string { return fmt.Sprintf("%s-eth%d", m.Name, n) }

// Args returns QEMU's argv. load names the saved state to resume from; "" is a
// cold boot.
func (m Machine) Args(load string) []string {
	// A comma in a file name is doubled in QEMU's option syntax.
	file := strings.NewReplacer(",", ",,").Replace
	args := []string{"qemu-system-x86_64",
		"-accel", "tcg,thread=multi", "-cpu", m.CPU, "-smp", "1", "-m", fmt.Sprint(memoryMiB),
		"-display", "none", "-no-reboot", "-nodefaults", "-vga", "none",
		"-qmp", "unix:" + file(m.Monitor) + ",server=on,wait=off",
		"-serial", "file:" + file(m.Serial),
		"-kernel", m.Xen,
		"-append", fmt.Sprintf("dom0_mem=%dM,max:%dM console=com1 com1=115200 loglvl=all noreboot", dom0MiB, dom0MiB),
		"-initrd", fmt.Sprintf("%s console=hvc0 net.ifnames=0 initcall_blacklist=i8042_init lab.name=%s lab.number=%d,%s",
			file(m.Kernel), m.Name, m.Number, file(m.Initrd)),
		"-drive", "file=" + file(m.Root) + disk,
		"-drive", "file=" + file(m.Data) + disk,
	}
	for n := range nics() {
		args = append(args,
			"-netdev", fmt.Sprintf("tap,id=eth%d,ifname=%s,script=no,downscript=no", n, m.tap(n)),
			"-device", fmt.Sprintf("virtio-net-pci,netdev=eth%d,mac=52:54:00:00:%02x:%02x", n, n, m.Number))
	}
	if load != "" {
		args = append(args, "-loadvm", load)
	}
	return args
}

// kind names all that a saved state depends on, beside the image: it can be
// resumed only by the same machine.
func (m Machine) kind(qemuVersion string) string {
	m.Xen, m.Kernel, m.Initrd, m.Root, m.Data, m.Monitor, m.Serial = "", "", "", "", "", "", ""
	return digest([]byte(qemuVersion), []byte(strings.Join(m.Args(""), "\x00")), []byte(dataSize))[:8]
}
