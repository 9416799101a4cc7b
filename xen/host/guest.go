package host

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/shaping"
	"github.com/xenhost/xenhost/shaping/diskrate"
	"github.com/xenhost/xenhost/xen"
)

// Guest is what a guest should be: domain, volumes, ports, forwards and rates. It is
// kept as one file a guest, and it is all that travels in a move.
//
// Memory is in bytes, a multiple of 1 MiB. Kernel and Ramdisk are absolute paths
// in dom0; they must be there on each host that the guest moves to. See xen.Spec
// for what they and the others may be.
type Guest struct {
	UUID   uuid.UUID `json:"uuid"` // the identity; Provision makes one if it is zero
	Name   string    `json:"name"` // unique on its host; see xen.ValidName
	Type   xen.Type  `json:"type"` // "" is PVH
	Memory int64     `json:"memory"`
	VCPUs  int       `json:"vcpus"` // 0 is 1
	// MaxMemory and MaxVCPUs are how far ChangePlan can go while the guest runs;
	// 0 is no further than it has. Weight and Cap are its share of the CPUs, as
	// xen.Spec has them.
	MaxMemory int64  `json:"max_memory,omitempty"`
	MaxVCPUs  int    `json:"max_vcpus,omitempty"`
	Weight    int    `json:"weight,omitempty"`
	Cap       int    `json:"cap,omitempty"`
	Kernel    string `json:"kernel"`
	Ramdisk   string `json:"ramdisk,omitempty"`
	Cmdline   string `json:"cmdline,omitempty"`
	TSCMode   string `json:"tsc_mode,omitempty"`
	// OnReboot and OnCrash are what follows when the guest does so: "restart",
	// "destroy" (it stays off until it is started, or the host boots), or
	// "preserve" (its domain stays for whoever wants to look). Empty is restart
	// after a reboot, destroy after a crash. The toolstack does it, or else
	// Supervise.
	OnReboot string `json:"on_reboot,omitempty"`
	OnCrash  string `json:"on_crash,omitempty"`

	Disks []Disk `json:"disks"`
	// Shared are disks that are there already, on this host and on those that the
	// guest can move to.
	Shared   []SharedDisk      `json:"shared,omitempty"`
	Nics     []Nic             `json:"nics,omitempty"`
	Forwards []network.Forward `json:"forwards,omitempty"`

	Rates    shaping.Policy   `json:"rates,omitzero"`
	Throttle shaping.Throttle `json:"throttle,omitzero"`

	// Moves says which moves the guest may make.
	Moves MovePolicy `json:"moves,omitempty"`
	// System is what the guest runs, where that is known: linux, netbsd, or
	// another word, and its release, as "linux 4.19.17". Plans of live moves
	// know which ones do not survive it.
	System string `json:"system,omitempty"`

	// Off is what Stop leaves: the guest is not started when the host boots.
	Off bool `json:"off,omitempty"`
	// Suspended, if it is not nil, keeps the guest from starting: see Suspend.
	Suspended *Suspension `json:"suspended,omitempty"`
	// Labels are the caller's own notes; they travel with the guest.
	Labels Labels `json:"labels,omitempty"`
	// Order says when Boot starts the guest: lower ones first, equal ones by
	// name.
	Order int `json:"order,omitempty"`
}

// Disk is a volume of a guest. Its volume has the same name on every host, and
// the Size that stands here: one that was grown otherwise can not move.
type Disk struct {
	Dev    string `json:"dev"` // as the guest sees it: xvda
	Volume lvm.ID `json:"volume"`
	Size   int64  `json:"size"`           // bytes; rounded up to whole extents when it is made
	Pool   string `json:"pool,omitempty"` // the thin pool, if it is a thin volume
	// Limit is how fast the guest reads and writes it, where the host can hold
	// it to that.
	Limit diskrate.Limit `json:"limit,omitzero"`
}

// Nic is a network interface of a guest. Bridge and MAC stay as they are in a
// move. Addresses are those that the guest may use: the guard lets it send from
// no other ones, and a routed guest is reached by them. The guest itself has to
// be told: by a seed (package seed), its image, or Cmdline.
type Nic struct {
	Bridge    string       `json:"bridge,omitempty"` // empty if it is routed
	MAC       xen.MAC      `json:"mac"`
	Addresses []netip.Addr `json:"addresses,omitempty"`
	// Backstop is netback's own limit of what the guest sends, for each of its
	// queues (xen.Vif.Rate), from the guest's next start on. Well above
	// Rates.Send it keeps a guest that floods its bridge from using up dom0's CPU.
	Backstop shaping.Rate `json:"backstop,omitzero"`
	// Routed, Networks and Uplink are those of network.Port. The host needs
	// xen.RoutedScript.
	Routed   bool           `json:"routed,omitempty"`
	Networks []netip.Prefix `json:"networks,omitempty"`
	Uplink   string         `json:"uplink,omitempty"`
}

// Spec returns the domain to create; paths gives the device of each volume.
func (g Guest) Spec(paths map[lvm.ID]string) xen.Spec {
	s := xen.Spec{
		Name: g.Name, UUID: g.UUID, Type: g.Type, Memory: g.Memory, VCPUs: g.VCPUs,
		Kernel: g.Kernel, Ramdisk: g.Ramdisk, Cmdline: g.Cmdline, TSCMode: g.TSCMode,
		OnReboot: g.OnReboot, OnCrash: g.OnCrash,
		MaxMemory: g.MaxMemory, MaxVCPUs: g.MaxVCPUs, Weight: g.Weight, Cap: g.Cap,
	}
	for _, d := range g.Disks {
		s.Disks = append(s.Disks, xen.Disk{Dev: d.Dev, Path: paths[d.Volume]})
	}
	for _, d := range g.Shared {
		s.Disks = append(s.Disks, xen.Disk{Dev: d.Dev, Path: d.Path})
	}
	for i, n := range g.Nics {
		s.Vifs = append(s.Vifs, xen.Vif{Name: network.VifName(g.UUID, i), Bridge: n.Bridge, MAC: n.MAC, Rate: int64(n.Backstop), Routed: n.Routed})
	}
	return s
}

// Network returns the guest's share of the host's network.
func (g Guest) Network() network.Guest {
	n := network.Guest{UUID: g.UUID, Forwards: g.Forwards}
	for i, nic := range g.Nics {
		n.Ports = append(n.Ports, network.Port{
			Vif: network.VifName(g.UUID, i), Bridge: nic.Bridge, MAC: nic.MAC, Addresses: nic.Addresses,
			Routed: nic.Routed, Networks: nic.Networks, Uplink: nic.Uplink,
		})
	}
	return n
}

// withDefaults fills in what may be left out.
func (g Guest) withDefaults() Guest {
	if g.Type == "" {
		g.Type = xen.PVH
	}
	if g.VCPUs == 0 {
		g.VCPUs = 1
	}
	return g
}

// Validate refuses what could not be run: xen.Spec's rules, volumes named twice
// or without a size, and rates that no host can keep. It touches nothing.
func (g Guest) Validate() error {
	named := make(map[lvm.ID]bool, len(g.Disks))
	var errs []error
	for _, d := range g.Disks {
		if named[d.Volume] {
			errs = append(errs, fmt.Errorf("%w: volume %s is named twice", ErrInvalid, d.Volume))
		}
		named[d.Volume] = true
		if d.Size <= 0 {
			errs = append(errs, fmt.Errorf("%w: disk %s has size %d", ErrInvalid, d.Dev, d.Size))
		}
		errs = append(errs, d.Limit.Validate(), lvm.ValidName(d.SnapshotName())) // a move needs room for its own name
	}
	for _, d := range g.Shared {
		errs = append(errs, d.validate())
	}
	if err := g.Spec(g.Devices()).Validate(); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, g.Rates.Validate(), g.Throttle.Validate(), g.Moves.validate(), g.Labels.Validate())
	if g.Rates.Upload+g.Rates.Ceil > 0 && slices.ContainsFunc(g.Nics, func(n Nic) bool { return n.Routed }) {
		errs = append(errs, fmt.Errorf("%w: a routed guest has no class at the uplink: limit what it sends by rates.send", errors.ErrUnsupported))
	}
	if g.System != "" {
		_, _, err := ParseSystem(g.System)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Devices are the device nodes that LVM gives the guest's volumes, for looking
// at a Spec before they are there.
func (g Guest) Devices() map[lvm.ID]string {
	paths := make(map[lvm.ID]string, len(g.Disks))
	for _, d := range g.Disks {
		paths[d.Volume] = "/dev/" + d.Volume.String()
	}
	return paths
}
