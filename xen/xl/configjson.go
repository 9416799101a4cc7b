package xl

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
)

// listed is one domain in the JSON of xl list -l, as far as a Spec has a place
// for it (libxl_domain_config in libxl_types.idl). What has its default value
// is left out by libxl.
type listed struct {
	DomID  int `json:"domid"`
	Config struct {
		Create struct {
			Type string    `json:"type"`
			Name string    `json:"name"`
			UUID uuid.UUID `json:"uuid"`
		} `json:"c_info"`
		Build    build        `json:"b_info"`
		Disks    []listedDisk `json:"disks"`
		Nics     []listedNic  `json:"nics"`
		OnReboot string       `json:"on_reboot"`
		OnCrash  string       `json:"on_crash"`
	} `json:"config"`
}

type build struct {
	MaxVCPUs int   `json:"max_vcpus"`
	VCPUs    []int `json:"avail_vcpus"` // the numbers of those online
	MaxKiB   int64 `json:"max_memkb"`
	KiB      int64 `json:"target_memkb"`
	Sched    struct {
		Weight int `json:"weight"`
		Cap    int `json:"cap"`
	} `json:"sched_params"`
	TSCMode string          `json:"tsc_mode"`
	Kernel  string          `json:"kernel"`
	Ramdisk string          `json:"ramdisk"`
	Cmdline string          `json:"cmdline"`
	CPUID   json.RawMessage `json:"cpuid"`
	HVM     struct {
		Boot string `json:"boot"`
		VNC  struct {
			Enable string `json:"enable"`
		} `json:"vnc"`
	} `json:"type.hvm"`
}

type listedDisk struct {
	Path  string `json:"pdev_path"`
	Dev   string `json:"vdev"`
	Write int    `json:"readwrite"`
	CDROM int    `json:"is_cdrom"`
}

type listedNic struct {
	MAC    string `json:"mac"`
	Bridge string `json:"bridge"`
	Script string `json:"script"`
	Name   string `json:"ifname"`
}

// parseConfigs reads xl list -l; the specs are by domid. dom0, which has no
// UUID there, is left out.
func parseConfigs(text string) (map[int]xen.Spec, error) {
	var all []listed
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return nil, fmt.Errorf("xl list -l: %w", err)
	}
	specs := make(map[int]xen.Spec)
	for _, l := range all {
		if l.DomID == 0 {
			continue
		}
		spec, err := l.spec()
		if err != nil {
			return nil, fmt.Errorf("xl list -l: domid %d: %w", l.DomID, err)
		}
		specs[l.DomID] = spec
	}
	return specs, nil
}

func (l listed) spec() (xen.Spec, error) {
	c, b := l.Config, l.Config.Build
	spec := xen.Spec{
		Name: c.Create.Name, UUID: c.Create.UUID, Type: xen.Type(c.Create.Type),
		Memory: b.KiB << 10, MaxMemory: b.MaxKiB << 10, VCPUs: len(b.VCPUs), MaxVCPUs: b.MaxVCPUs,
		Kernel: b.Kernel, Ramdisk: b.Ramdisk, Cmdline: b.Cmdline, TSCMode: b.TSCMode,
		OnReboot: action(c.OnReboot), OnCrash: action(c.OnCrash), Weight: b.Sched.Weight, Cap: b.Sched.Cap,
		Boot: b.HVM.Boot, VNC: c.Create.Type == string(xen.HVM) && b.HVM.VNC.Enable == "True",
	}
	for _, d := range c.Disks {
		spec.Disks = append(spec.Disks, xen.Disk{Dev: d.Dev, Path: d.Path, ReadOnly: d.Write == 0, CDROM: d.CDROM != 0})
	}
	for _, n := range c.Nics {
		mac, err := xen.ParseMAC(n.MAC)
		if err != nil {
			return spec, err
		}
		v := xen.Vif{Name: n.Name, Bridge: n.Bridge, MAC: mac}
		if path.Base(n.Script) == xen.RoutedScript {
			v.Bridge, v.Routed = "", true // libxl names xenbr0 where none is
		}
		spec.Vifs = append(spec.Vifs, v)
	}
	var err error
	spec.CPUID, err = cpuidLines(b.CPUID)
	return spec.WithDefaults(), err
}

// action is libxl's word for what happens then, as xl.cfg has it; none is
// destroy.
func action(word string) string {
	if word == "" {
		return "destroy"
	}
	return strings.ReplaceAll(word, "_", "-")
}

// policy is one leaf of what a domain's cpuid= says.
type policy struct {
	Leaf    uint32  `json:"leaf"`
	Subleaf *uint32 `json:"subleaf"`
	EAX     string  `json:"eax"`
	EBX     string  `json:"ebx"`
	ECX     string  `json:"ecx"`
	EDX     string  `json:"edx"`
}

// cpuidLines turns libxl's list of policies into lines of Spec.CPUID. Since
// Xen 4.19 it is inside an object.
func cpuidLines(raw json.RawMessage) (lines []string, err error) {
	var policies []policy
	if strings.HasPrefix(string(raw), "{") {
		var with struct {
			CPUID []policy `json:"cpuid"`
		}
		err = json.Unmarshal(raw, &with)
		policies = with.CPUID
	} else if len(raw) > 0 {
		err = json.Unmarshal(raw, &policies)
	}
	if err != nil {
		return nil, err
	}
	for _, p := range policies {
		line := fmt.Sprintf("0x%x", p.Leaf)
		if p.Subleaf != nil {
			line += fmt.Sprintf(",%d", *p.Subleaf)
		}
		sep := ":"
		for _, reg := range []struct{ name, bits string }{{"eax", p.EAX}, {"ebx", p.EBX}, {"ecx", p.ECX}, {"edx", p.EDX}} {
			if reg.bits != "" {
				line += sep + reg.name + "=" + reg.bits
				sep = ","
			}
		}
		lines = append(lines, line)
	}
	return lines, nil
}
