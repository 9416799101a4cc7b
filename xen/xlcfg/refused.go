package xlcfg

import "strings"

// refused says why a key of a foreign file is not taken over, or "". These
// keys are not merely unknown: with them the file decides what runs as root in
// dom0, or which of its files and devices the guest gets.
func refused(key string) string {
	for _, r := range dangers() {
		if strings.HasPrefix(key, r.prefix) {
			return r.why
		}
	}
	return ""
}

type danger struct{ prefix, why string }

// dangers are the beginnings of the keys. serial = "pty" alone is harmless, and
// what Render writes.
func dangers() []danger {
	return []danger{
		{"bootloader", "runs a program in dom0"},
		{"script", "runs a program in dom0"},
		{"device_model", "chooses a program in dom0 or its arguments"},
		{"stubdomain_", "chooses what emulates devices"},
		{"firmware", "chooses code of dom0 for the guest"},
		{"bios_path_override", "chooses code of dom0 for the guest"},
		{"pvshim", "chooses code of dom0 for the guest"},
		{"p9", "shares a directory of dom0"},
		{"acpi_firmware", "gives a file of dom0 to the guest"},
		{"smbios_firmware", "gives a file of dom0 to the guest"},
		{"serial", "connects to files and devices of dom0"},
		{"channel", "connects to sockets of dom0"},
		{"pci", "gives out hardware"},
		{"usb", "gives out hardware"},
		{"gfx_passthru", "gives out hardware"},
		{"ioports", "gives out hardware"},
		{"iomem", "gives out hardware"},
		{"irqs", "gives out hardware"},
		{"dtdev", "gives out hardware"},
		{"rdm", "gives out hardware"},
		{"spice", "opens ports of dom0"},
		{"pvcalls", "connects to sockets of dom0"},
		{"vsnd", "connects to another domain"},
		{"vdispl", "connects to another domain"},
		{"vkb", "connects to another domain"},
		{"vtpm", "connects to another domain"},
		{"driver_domain", "gives the guest a dom0's role"},
		{"seclabel", "changes what the guest may do to others"},
		{"init_seclabel", "changes what the guest may do to others"},
		{"nestedhvm", "lets the guest run a hypervisor"},
	}
}
