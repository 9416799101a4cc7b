package xen

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/internal/ether"
)

// Type is how a domain is virtualised.
type Type string

// The types that this package can describe. PVH is the default choice: it is
// the one that every current Xen can also migrate live.
const (
	PVH Type = "pvh"
	PV  Type = "pv"
	HVM Type = "hvm" // with an emulated machine (QEMU in dom0): firmware, CD-ROM drives, a screen
)

// MAC is the Ethernet address of a vif.
type MAC = ether.Addr

// ParseMAC reads the colon form, as 00:16:3e:01:02:03; it refuses multicast
// addresses and everything that xl would repair silently.
func ParseMAC(s string) (MAC, error) { return ether.Parse(s) }

// Spec says what a domain should be when it is created. Validate tells what a
// driver will refuse; no string of it reaches an xl.cfg unchecked.
type Spec struct {
	Name   string    `json:"name"` // see ValidName
	UUID   uuid.UUID `json:"uuid"` // the domain's identity; required
	Type   Type      `json:"type"`
	Memory int64     `json:"memory"` // bytes, a multiple of 1 MiB, 32 MiB to 1 TiB
	VCPUs  int       `json:"vcpus"`  // 1 to 128
	// Kernel is an absolute path in dom0. An HVM domain without one boots from
	// its disks, as Boot says.
	Kernel  string `json:"kernel"`
	Ramdisk string `json:"ramdisk,omitempty"`
	Cmdline string `json:"cmdline,omitempty"`
	Disks   []Disk `json:"disks,omitempty"`
	Vifs    []Vif  `json:"vifs,omitempty"`
	// TSCMode is xl.cfg's tsc_mode: "", "default", "always_emulate", "native",
	// "native_paravirt". PVH under an emulated CPU needs "native".
	TSCMode string `json:"tsc_mode,omitempty"`
	// OnReboot and OnCrash are what the toolstack does then: "", "destroy",
	// "restart", "preserve". Empty is restart after a reboot, destroy after a
	// crash.
	OnReboot string `json:"on_reboot,omitempty"`
	OnCrash  string `json:"on_crash,omitempty"`
	// MaxMemory is how far Resizer.SetMemory can go, in bytes; 0 is Memory. It
	// is fixed at the start: Xen's limit can be raised later, the guest's own
	// idea of it can not.
	MaxMemory int64 `json:"max_memory,omitempty"`
	// MaxVCPUs is how far Resizer.SetVCPUs can go; 0 is VCPUs.
	MaxVCPUs int `json:"max_vcpus,omitempty"`
	// Weight and Cap are the start values of Share; Weight 0 is DefaultWeight.
	Weight int `json:"weight,omitempty"`
	Cap    int `json:"cap,omitempty"`
	// CPUID hides features of the CPU from the guest, so that it can move to
	// hosts that lack them: lines as cpuid.Level of package xen/cpuid makes them.
	CPUID []string `json:"cpuid,omitempty"`
	// Boot is the order in which an HVM domain tries its disks (c), CD-ROM
	// drives (d) and network (n); empty is Xen's default, cda.
	Boot string `json:"boot,omitempty"`
	// VNC gives an HVM domain a screen on 127.0.0.1 of dom0; Screener tells its
	// port. Without it the domain has no screen.
	VNC bool `json:"vnc,omitempty"`
}

// DefaultWeight is the weight of a domain, and of dom0, unless it is set.
const DefaultWeight = 256

// Disk is a block device of a domain, backed by a block device in dom0.
type Disk struct {
	Dev      string `json:"dev"`  // as the guest sees it: xvda to xvdp; a CD-ROM drive is hda to hdd
	Path     string `json:"path"` // absolute path in dom0, below /dev for the xl driver
	ReadOnly bool   `json:"read_only,omitempty"`
	// CDROM makes it a CD-ROM drive of an HVM domain. Path is then a file that
	// ends in .iso; "" is a drive that is empty, which a running domain can
	// have, but not one that starts.
	CDROM bool `json:"cdrom,omitempty"`
}

// Vif is a network interface of a domain.
type Vif struct {
	Name   string `json:"name"`             // of the interface in dom0, at most 15 bytes; see vifname in xl-network-configuration(5)
	Bridge string `json:"bridge,omitempty"` // empty if it is routed
	MAC    MAC    `json:"mac"`
	// Rate is netback's own limit of what the guest sends, in bit/s; 0 is none.
	// It holds from the first packet and is a backstop only: it drops nothing but
	// stops the guest's ring, and each queue has it for itself, of which the
	// guest makes as many as the host's xen_netback.max_queues allows. A plan's
	// rates are package shaping's, which count the guest as a whole.
	Rate int64 `json:"rate,omitempty"`
	// Routed: the vif is on no bridge; RoutedScript makes it the guest's link to
	// dom0.
	Routed bool `json:"routed,omitempty"`
}

// The bounds of Vif.Rate; xl counts the bytes of a second in 32 bits.
const (
	MinVifRate = 8_000
	MaxVifRate = 32_000_000_000
)

// RoutedScript is the hotplug script of routed vifs, in Xen's folder of scripts
// (/etc/xen/scripts): examples/vifhook under this name. Xen's own vif-route is
// not used: it gives each vif dom0's own address, answers there for every
// address there is, and knows neither IPv6 nor the uplink's side.
const RoutedScript = "vif-xenhost-routed"

// Domain is what runs, as the hypervisor shows it. The identity is UUID; ID
// changes at each start and Name is a hint.
type Domain struct {
	UUID  uuid.UUID `json:"uuid"`
	ID    int       `json:"id"`   // from 1 on; -1 while libvirt builds it
	Name  string    `json:"name"` // "" while it is being built or is a zombie
	State State     `json:"state"`
	// Reason tells why a domain in state Stopped or Crashed has shut down.
	Reason  Reason        `json:"reason,omitempty"`
	Memory  int64         `json:"memory"` // bytes; 0 while it is being built
	VCPUs   int           `json:"vcpus"`
	CPUTime time.Duration `json:"cpu_time"` // used since its start; xl shows tenths of a second
}

// State is what a domain does.
type State string

// Running covers xl's r, b and no letter at all: a domain that has the right
// to use a CPU. Building has no memory yet.
const (
	Building  State = "building"
	Running   State = "running"
	Paused    State = "paused"
	Suspended State = "suspended" // shut down with reason suspend: save or migrate is at work
	Stopped   State = "stopped"   // shut down, not yet destroyed
	Crashed   State = "crashed"
	Dying     State = "dying"
)

// Reason is why a domain shut down (libxl_shutdown_reason).
type Reason string

// The reasons that Xen knows.
const (
	Poweroff  Reason = "poweroff"
	Reboot    Reason = "reboot"
	Suspend   Reason = "suspend"
	Crash     Reason = "crash"
	Watchdog  Reason = "watchdog"
	SoftReset Reason = "soft_reset"
)

// HostInfo is what the hypervisor says of itself.
type HostInfo struct {
	Hostname    string   `json:"hostname"`
	XenVersion  string   `json:"xen_version"` // as 4.17.7
	VirtCaps    []string `json:"virt_caps"`   // as pv, hvm, hap, shadow
	CPUs        int      `json:"cpus"`
	Scheduler   string   `json:"scheduler"`    // as credit2
	TotalMemory int64    `json:"total_memory"` // bytes
	FreeMemory  int64    `json:"free_memory"`  // bytes that no domain and no claim holds
}

// Lister sees domains. Dom0 is never listed.
type Lister interface {
	// List returns all domains, ordered by ID.
	List(ctx context.Context) ([]Domain, error)
	// Lookup returns the domain with this UUID, or fs.ErrNotExist. During a
	// move inside one host two domains can share a UUID; the running one wins.
	Lookup(ctx context.Context, id uuid.UUID) (Domain, error)
}

// Lifecycle starts and ends domains. Each verb reads back what it did; when
// it returns nil, the new state was seen.
type Lifecycle interface {
	// Create starts a domain. ErrNoMemory, fs.ErrExist (its name or UUID runs
	// already), ErrBusy (another domain has one of its disks) and *Error tell
	// why not; nothing is left behind then.
	Create(ctx context.Context, spec Spec, opts *CreateOptions) (Domain, error)
	// Shutdown asks the guest to power off, waits until the domain is gone,
	// and destroys it when opts.Grace has passed or the guest can not be
	// asked. fs.ErrNotExist: it is gone already. how says which it was.
	Shutdown(ctx context.Context, id uuid.UUID, opts *ShutdownOptions) (how Ending, err error)
	// Destroy ends a domain at once, as if the plug was pulled, and waits
	// until it is gone.
	Destroy(ctx context.Context, id uuid.UUID) error
}

// Pauser stops and continues the clock of domains, and renames them.
type Pauser interface {
	Pause(ctx context.Context, id uuid.UUID) error   // a paused domain stays paused, nil
	Unpause(ctx context.Context, id uuid.UUID) error // a running domain stays running, nil
	Rename(ctx context.Context, id uuid.UUID, name string) error
}

// Domains is the whole of a driver's domain verbs: xl.Driver, libvirt.Driver and
// xentest.Fake.
type Domains interface {
	Lister
	Lifecycle
	Pauser
	Checker
	// Info says what the host is and has free.
	Info(ctx context.Context) (HostInfo, error)
}

// CreateOptions changes how Create works; nil is a plain start.
type CreateOptions struct {
	Paused bool // leave the domain paused
}

// ShutdownOptions bounds a Shutdown; nil is the defaults.
type ShutdownOptions struct {
	Grace time.Duration // until the plug is pulled; 0 is 60 s, negative is at once
}

// Ending is how a Shutdown ended the domain.
type Ending string

// A Clean guest powered itself off; a Destroyed one did not within the grace.
const (
	Clean     Ending = "clean"
	Destroyed Ending = "destroyed"
)
