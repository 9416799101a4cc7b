package libvirt

import (
	"libvirt.org/go/libvirtxml"

	"github.com/xenhost/xenhost/xen"
)

// loopback is where screens are: nobody outside dom0 can reach them.
const loopback = "127.0.0.1"

// emulate gives the domain what only an emulated machine has: firmware tables,
// as xl gives them by default, a serial port for the console, the order of its
// boot devices, and a screen if it shall have one.
func emulate(dom *libvirtxml.Domain, spec xen.Spec) {
	port := uint(0)
	pty := func() *libvirtxml.DomainChardevSource {
		return &libvirtxml.DomainChardevSource{Pty: &libvirtxml.DomainChardevSourcePty{}}
	}
	dom.Features = &libvirtxml.DomainFeatureList{
		ACPI: &libvirtxml.DomainFeature{}, APIC: &libvirtxml.DomainFeatureAPIC{}, PAE: &libvirtxml.DomainFeature{},
	}
	dom.OS.BootDevices = bootDevices(spec.Boot)
	dom.Devices.Serials = []libvirtxml.DomainSerial{{Source: pty(), Target: &libvirtxml.DomainSerialTarget{Port: &port}}}
	dom.Devices.Consoles = []libvirtxml.DomainConsole{{Source: pty(), Target: &libvirtxml.DomainConsoleTarget{Type: "serial", Port: &port}}}
	if spec.VNC {
		dom.Devices.Graphics = []libvirtxml.DomainGraphic{{VNC: &libvirtxml.DomainGraphicVNC{Port: -1, AutoPort: "yes", Listen: loopback}}}
	}
}

// drive is a CD-ROM drive with the image at path in it, or nothing.
func drive(dev, path string) libvirtxml.DomainDisk {
	out := libvirtxml.DomainDisk{
		Device: "cdrom", Target: &libvirtxml.DomainDiskTarget{Dev: dev, Bus: "ide"}, ReadOnly: &libvirtxml.DomainDiskReadOnly{},
		Source: &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: path}},
	}
	return out
}

// anyBoot is Xen's default. libvirt's own is the disk alone.
const anyBoot = "cda"

func bootWords() map[rune]string {
	return map[rune]string{'c': "hd", 'd': "cdrom", 'n': "network", 'a': "fd"}
}

func bootDevices(boot string) (devices []libvirtxml.DomainBootDevice) {
	if boot == "" {
		boot = anyBoot
	}
	for _, letter := range boot {
		devices = append(devices, libvirtxml.DomainBootDevice{Dev: bootWords()[letter]})
	}
	return devices
}

// bootOrder is what bootDevices was given.
func bootOrder(devices []libvirtxml.DomainBootDevice) (boot string) {
	for _, d := range devices {
		for letter, word := range bootWords() {
			if d.Dev == word {
				boot += string(letter)
			}
		}
	}
	if boot == anyBoot {
		return ""
	}
	return boot
}
