// Package cli is what the example commands share: one settings file for the
// host, flags with units, tables, progress bars and exit codes.
package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/guard"
	"github.com/xenhost/xenhost/shaping"
	"github.com/xenhost/xenhost/shaping/diskrate"
	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/capacity"
	"github.com/xenhost/xenhost/xen/xl"
)

// Settings is what an admin writes down about a host, as JSON.
type Settings struct {
	Name        string               `json:"name"`                // "" is the hostname
	StateDir    string               `json:"state_dir,omitempty"` // "" is /var/lib/xenhost
	Bonds       []network.Bond       `json:"bonds,omitempty"`
	VLANs       []network.VLAN       `json:"vlans,omitempty"`
	VXLANs      []network.VXLAN      `json:"vxlans,omitempty"`
	Firewall    string               `json:"firewall,omitempty"` // "" is what network.Linux.Probe picks
	Bridges     []network.Bridge     `json:"bridges,omitempty"`
	Masquerades []network.Masquerade `json:"masquerades,omitempty"`
	Reserved    []uint16             `json:"reserved_ports,omitempty"` // of dom0, besides ssh's
	Guard       bool                 `json:"guard,omitempty"`          // guests send with their own MACs and addresses only
	Uplink      *shaping.Uplink      `json:"uplink,omitempty"`         // the line to the world, for rates; without it guests have none
	Grace       string               `json:"grace,omitempty"`          // until a guest's plug is pulled, as 60s
	SharedDirs  []string             `json:"shared_dirs,omitempty"`    // where devices of shared disks may be, as /dev/drbd/by-res
	Headroom    capacity.Headroom    `json:"headroom,omitzero"`        // what is not sold
	Peers       []Peer               `json:"peers,omitempty"`          // asked at boot whether a guest is theirs since a newer epoch
}

// Peer is another host that guests move to and from.
type Peer struct {
	Name    string   `json:"name"`              // its own name
	SSH     string   `json:"ssh"`               // as ssh takes it: root@islay
	Agent   []string `json:"agent,omitempty"`   // empty is xenhost-agent serve
	Options []string `json:"options,omitempty"` // for ssh, as -i, /root/.ssh/islay
}

// peers reaches them by ssh.
func (s Settings) peers(run dom0.Runner, log *slog.Logger) host.Peers {
	if len(s.Peers) == 0 {
		return nil
	}
	p := &migrate.Peers{}
	for _, peer := range s.Peers {
		p.Hosts = append(p.Hosts, migrate.Peer{Name: peer.Name, Dial: func(ctx context.Context) (*migrate.Remote, error) {
			conn, err := migrate.Command(ctx, run, migrate.SSH(peer.SSH, &migrate.SSHOptions{Agent: peer.Agent, Options: peer.Options}))
			if err != nil {
				return nil, err
			}
			return migrate.Dial(ctx, conn, &migrate.DialOptions{Name: s.Name, Log: log})
		}})
	}
	return p
}

// DefaultSettings is where Open looks when no file is named.
const DefaultSettings = "/etc/xenhost/host.json"

// Open composes the host that this process runs on. The file may be missing if
// it is the default one; then everything has its default.
func Open(path string, log *slog.Logger) (*host.Host, error) {
	s, err := read(path)
	if err != nil {
		return nil, err
	}
	grace, err := time.ParseDuration(s.Grace)
	if err != nil && s.Grace != "" {
		return nil, fmt.Errorf("%s: grace: %w", path, err)
	}
	run := dom0.Local{Log: log}
	var g guard.Manager
	if s.Guard {
		g = guard.New(&guard.Options{Runner: run, Log: log})
	}
	c := host.Config{
		Name:      s.Name,
		Domains:   xl.New(run, nil),
		Volumes:   lvm.New(run, nil),
		Network:   network.New(&network.Options{Runner: run, Firewall: s.Firewall, Reserved: s.Reserved, Log: log}),
		Guard:     g,
		DiskRates: diskrate.New(&diskrate.Options{Log: log}),
		StateDir:  s.StateDir,
		Base: network.State{
			Bonds: s.Bonds, VLANs: s.VLANs, VXLANs: s.VXLANs, Bridges: s.Bridges, Masquerades: s.Masquerades,
		},
		SharedDirs: s.SharedDirs, Headroom: s.Headroom,
		Grace: grace,
		Peers: s.peers(run, log),
		Log:   log,
	}
	if s.Uplink != nil {
		c.Shaping, c.Uplink = shaping.New(&shaping.Options{Log: log}), *s.Uplink
	}
	return host.New(c), nil
}

func read(path string) (Settings, error) {
	var s Settings
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && path == DefaultSettings:
	case err != nil:
		return s, err
	default:
		d := json.NewDecoder(bytes.NewReader(data))
		d.DisallowUnknownFields() // a misspelt key must not go unnoticed
		if err := d.Decode(&s); err != nil {
			return s, fmt.Errorf("%s: %w", path, err)
		}
	}
	if s.Name == "" {
		s.Name, err = os.Hostname()
		return s, err
	}
	return s, nil
}
