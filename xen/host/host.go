package host

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/guard"
	"github.com/xenhost/xenhost/shaping"
	"github.com/xenhost/xenhost/shaping/diskrate"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host/capacity"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// Config composes a host of its parts. In a unit test they are the fakes.
// Domains, Volumes and Network are required; the host does without any other
// that is nil.
type Config struct {
	// Name is this host's name, as its peers know it; same rules as a guest's.
	Name    string
	Domains xen.Domains
	Volumes lvm.Manager
	Network network.Manager
	// Guard keeps guests from using MACs and addresses that their Nics do not
	// name; it is in force before a domain is created. nil is none.
	Guard guard.Manager
	// Shaping limits how fast guests are; nil is no limit, whatever their
	// definitions say.
	Shaping shaping.Manager
	// DiskRates limits how fast guests read and write their volumes; nil is no
	// limit, whatever their definitions say.
	DiskRates diskrate.Manager

	// StateDir holds guests/UUID.json and the owner records. "" is
	// /var/lib/xenhost. It must be on a disk that survives a power failure.
	StateDir string
	// SharedDirs are the folders below which the devices of shared disks may be,
	// as /dev/drbd/by-res; none is no shared disks. See SharedDisk.
	SharedDirs []string
	// Base is the part of the network that belongs to no guest: interfaces and
	// masquerading. Boot applies it.
	Base network.State
	// Uplink is the line to the world, for Shaping. Boot applies it; without
	// one, guests can not have upload rates.
	Uplink shaping.Uplink
	// Peers is asked by Boot before it starts guests; nil is nobody.
	Peers Peers
	// Headroom is what the host keeps free when it takes guests in.
	Headroom capacity.Headroom
	// Grace is how long Stop waits for a guest to power off; 0 is 60 s.
	Grace time.Duration
	// Log receives a line a change; nil is silent.
	Log *slog.Logger
}

// Host is a Xen host and its guests. It is safe for concurrent use, also by
// several processes: each guest is held by one operation at a time.
type Host struct {
	name     string
	domains  xen.Domains
	volumes  lvm.Manager
	network  network.Manager
	guard    guard.Manager
	shaping  shaping.Manager
	disks    diskrate.Manager
	guests   definitions
	owners   *owner.Store
	shared   []string
	base     network.State
	uplink   shaping.Uplink
	peers    Peers
	claims   *capacity.Claims
	headroom capacity.Headroom
	grace    time.Duration
	log      *slog.Logger
}

// New composes a host. Nothing is read or changed before the first verb.
func New(c Config) *Host {
	if c.StateDir == "" {
		c.StateDir = "/var/lib/xenhost"
	}
	if c.Grace == 0 {
		c.Grace = 60 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	dir := filepath.Join(c.StateDir, "guests")
	return &Host{
		name: c.Name, domains: c.Domains, volumes: c.Volumes, network: c.Network, guard: c.Guard, shaping: c.Shaping, disks: c.DiskRates,
		guests: definitions{dir: dir}, owners: owner.NewStore(dir, nil),
		claims: capacity.NewClaims(filepath.Join(c.StateDir, "claims")), headroom: c.Headroom,
		shared: c.SharedDirs, base: c.Base, uplink: c.Uplink, peers: c.Peers, grace: c.Grace, log: c.Log.With("host", c.Name),
	}
}

// Name returns the host's name.
func (h *Host) Name() string { return h.name }

// Domains returns the driver that the host was composed with.
func (h *Host) Domains() xen.Domains { return h.domains }

// Volumes returns the volumes that the host was composed with.
func (h *Host) Volumes() lvm.Manager { return h.volumes }

// Network returns the network that the host was composed with.
func (h *Host) Network() network.Manager { return h.network }

// Guard returns the guard that the host was composed with, or nil.
func (h *Host) Guard() guard.Manager { return h.guard }

// Info says what the host is and has free.
func (h *Host) Info(ctx context.Context) (xen.HostInfo, error) { return h.domains.Info(ctx) }
