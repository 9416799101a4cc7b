package libvirt

import (
	"context"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"

	rpc "github.com/digitalocean/go-libvirt"

	"github.com/xenhost/xenhost/xen"
)

// platform is what a host says it can run, and the words that it wants to be
// asked in.
type platform struct {
	machines map[xen.Type]machine
	virtCaps []string // in xl's words, as far as libvirt tells: pv, hvm, hap
	// taken are the beginnings of vif names that libvirt gives itself. It drops
	// such a name from the XML of others without a word.
	taken []string
}

// machine is how a domain of one type is asked for.
type machine struct {
	domain  string // <domain type=…>: xen
	os      string // <os><type>: xen, xenpvh
	arch    string // x86_64
	machine string // xenpv, xenpvh; a host can have no name for it
}

// capabilities is the part of virConnectGetCapabilities that counts here.
// (libvirtxml's type lacks netprefix and hap.)
type capabilities struct {
	XMLName xml.Name `xml:"capabilities"`
	Host    struct {
		Arch      string `xml:"cpu>arch"`
		NetPrefix string `xml:"netprefix"`
	} `xml:"host"`
	Guests []struct {
		OS   string `xml:"os_type"`
		Arch struct {
			Name     string   `xml:"name,attr"`
			Machines []string `xml:"machine"`
			Domains  []struct {
				Type string `xml:"type,attr"`
			} `xml:"domain"`
		} `xml:"arch"`
		HAP *struct{} `xml:"features>hap"`
	} `xml:"guest"`
}

func (d *Driver) platform(ctx context.Context) (p platform, err error) {
	var text string
	err = d.call(ctx, d.opts.Limits.Query, func(l *rpc.Libvirt) (err error) {
		text, err = l.ConnectGetCapabilities()
		return err
	})
	if err != nil {
		return platform{}, err
	}
	return parsePlatform(text)
}

// parsePlatform reads the capabilities. Of the architectures that a type can
// have, the host's own is taken.
func parsePlatform(text string) (platform, error) {
	var caps capabilities
	if err := xml.Unmarshal([]byte(text), &caps); err != nil {
		return platform{}, fmt.Errorf("capabilities of the host: %w", err)
	}
	p := platform{machines: make(map[xen.Type]machine), taken: []string{"vnet", "macvtap", "macvlan"}}
	if caps.Host.NetPrefix != "" {
		p.taken = append(p.taken, caps.Host.NetPrefix)
	}
	for _, g := range caps.Guests {
		typ, word := typeOf(g.OS)
		if typ == "" || len(g.Arch.Domains) == 0 {
			continue
		}
		p.has(word)
		if g.HAP != nil {
			p.has("hap")
		}
		m := machine{domain: g.Arch.Domains[0].Type, os: g.OS, arch: g.Arch.Name}
		if len(g.Arch.Machines) > 0 {
			m.machine = strings.TrimSpace(g.Arch.Machines[0])
		}
		if old, ok := p.machines[typ]; !ok || old.arch != caps.Host.Arch && m.arch == caps.Host.Arch {
			p.machines[typ] = m
		}
	}
	return p, nil
}

// typeOf gives libvirt's word for what runs in a domain ours.
func typeOf(os string) (typ xen.Type, virtCap string) {
	switch os {
	case "xen", "linux":
		return xen.PV, "pv"
	case "xenpvh":
		return xen.PVH, "hvm"
	case "hvm":
		return xen.HVM, "hvm"
	}
	return "", ""
}

func (p *platform) has(word string) {
	if !slices.Contains(p.virtCaps, word) {
		p.virtCaps = append(p.virtCaps, word)
	}
}

// types returns what render can ask this host for.
func (p platform) types() []xen.Type {
	types := []xen.Type{}
	for _, typ := range []xen.Type{xen.PVH, xen.HVM, xen.PV} {
		if _, ok := p.machines[typ]; ok {
			types = append(types, typ)
		}
	}
	return types
}

// isXen reports whether the host runs Xen at all: libvirtd has other drivers.
func (p platform) isXen() bool {
	for _, m := range p.machines {
		if m.domain == "xen" {
			return true
		}
	}
	return false
}
