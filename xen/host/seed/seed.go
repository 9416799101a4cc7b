package seed

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
)

// ErrInvalid: what the seed would say is refused.
var ErrInvalid = errors.New("invalid seed")

// Seed is what a guest is told.
type Seed struct {
	Hostname string   `json:"hostname"` // letters, digits, hyphens and dots, at most 253
	Keys     []string `json:"keys"`     // lines of authorized_keys, for the image's own user
	Nics     []Nic    `json:"nics,omitempty"`
	// UserData takes the place of the cloud-config that Hostname and Keys make:
	// what a customer gives, passed on as it is. It runs in the guest alone.
	UserData []byte `json:"user_data,omitempty"`
}

// Nic is how the guest sets up one of its network interfaces; without any, it
// does what its image does, mostly DHCP.
type Nic struct {
	MAC       xen.MAC        `json:"mac"`
	Addresses []netip.Prefix `json:"addresses"` // with the length of their network: 192.168.0.10/24
	// Gateways are the default routes, at most one a family. One outside of the
	// addresses' networks, as a routed guest has, is reached on the link.
	Gateways []netip.Addr `json:"gateways,omitempty"`
	DNS      []netip.Addr `json:"dns,omitempty"`
}

// MaxUserData is what a seed takes of UserData, in bytes.
const MaxUserData = 1 << 20

var hostname = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$`)

// Validate refuses what no guest could use.
func (s Seed) Validate() error {
	if !hostname.MatchString(s.Hostname) {
		return fmt.Errorf("%w: host name %q", ErrInvalid, s.Hostname)
	}
	for _, k := range s.Keys {
		if strings.ContainsFunc(k, func(r rune) bool { return r < ' ' || r == 0x7f }) || strings.TrimSpace(k) == "" || len(k) > 16<<10 {
			return fmt.Errorf("%w: key %.60q is not one line", ErrInvalid, k)
		}
	}
	if len(s.UserData) > MaxUserData {
		return fmt.Errorf("%w: user data of %d bytes, at most %d", ErrInvalid, len(s.UserData), MaxUserData)
	}
	for _, n := range s.Nics {
		families := make(map[bool]bool)
		for _, g := range n.Gateways {
			if !g.IsValid() || families[g.Is4()] {
				return fmt.Errorf("%w: gateways %v of %s", ErrInvalid, n.Gateways, n.MAC)
			}
			families[g.Is4()] = true
		}
		for _, a := range n.Addresses {
			if !a.IsValid() {
				return fmt.Errorf("%w: address of %s", ErrInvalid, n.MAC)
			}
		}
	}
	return nil
}

// files returns what the seed consists of, by name.
func (s Seed) files(instance string) (map[string][]byte, error) {
	user := s.UserData
	if user == nil {
		config, err := encode(map[string]any{
			"hostname": s.Hostname, "fqdn": s.Hostname, "manage_etc_hosts": true, "ssh_authorized_keys": s.Keys, "ssh_pwauth": false,
		})
		if err != nil {
			return nil, err
		}
		user = append([]byte("#cloud-config\n"), config...)
	}
	meta, err := encode(map[string]any{"instance-id": instance, "local-hostname": s.Hostname})
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{"user-data": user, "meta-data": meta}
	if len(s.Nics) > 0 {
		if files["network-config"], err = encode(s.network()); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// network is cloud-init's networking configuration, version 2.
func (s Seed) network() map[string]any {
	nics := make(map[string]any, len(s.Nics))
	for i, n := range s.Nics {
		nic := map[string]any{"match": map[string]any{"macaddress": n.MAC.String()}, "addresses": n.Addresses}
		var routes []map[string]any
		for _, g := range n.Gateways {
			route := map[string]any{"to": "0.0.0.0/0", "via": g}
			if !g.Is4() {
				route["to"] = "::/0"
			}
			near := false
			for _, a := range n.Addresses {
				near = near || a.Bits() < a.Addr().BitLen() && a.Masked().Contains(g)
			}
			if !near {
				route["on-link"] = true
			}
			routes = append(routes, route)
		}
		if routes != nil {
			nic["routes"] = routes
		}
		if len(n.DNS) > 0 {
			nic["nameservers"] = map[string]any{"addresses": n.DNS}
		}
		nics[fmt.Sprintf("nic%d", i)] = nic
	}
	return map[string]any{"version": 2, "ethernets": nics}
}

// encode writes JSON with every character outside of ASCII escaped, so that no
// reader of YAML sees a line end where JSON has none.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for _, r := range b.String() {
		switch {
		case r < 0x7f:
			out.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.Bytes(), nil
}

// Disk is the guest's disk for a seed: a volume beside another one of the guest,
// with the ending -seed.
func Disk(dev string, beside lvm.ID, iso []byte) host.Disk {
	return host.Disk{Dev: dev, Volume: lvm.ID{Group: beside.Group, Name: beside.Name + "-seed"}, Size: int64(len(iso))}
}
