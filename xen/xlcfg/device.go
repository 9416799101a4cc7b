package xlcfg

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/xenhost/xenhost/xen"
)

// parseDisk reads a raw block device in any of the ways of
// xl-disk-configuration(5): named parameters, positions, or both. target= takes
// the rest of the string.
func parseDisk(s string) (d xen.Disk, err error) {
	if strings.ContainsAny(s, "\n\x00") {
		return d, errors.New("has a newline or NUL, behind which xl looks for another parameter")
	}
	open := []string{"target", "format", "vdev", "access", "backendtype", "devtype"} // not yet said
	for rest := s; rest != ""; {
		var item string
		if v, ok := strings.CutPrefix(rest, "target="); ok {
			item, rest = "target="+strings.TrimSuffix(v, ","), ""
		} else {
			item, rest, _ = strings.Cut(rest, ",")
		}
		key, value, named := strings.Cut(item, "=")
		if !named {
			value = item
			key = open[0]
			if path, ok := strings.CutPrefix(value, "phy:"); ok && key == "target" {
				value = path
				open = without(open, "format") // the old prefix says it
			}
			if key == "backendtype" || key == "devtype" {
				return d, fmt.Errorf("%q is one value too many", item)
			}
		}
		if !slices.Contains(open, key) {
			return d, fmt.Errorf("%q has no place here", item)
		}
		open = without(open, key)
		if err := setDisk(&d, key, value); err != nil {
			return d, err
		}
	}
	d.ReadOnly = d.ReadOnly || d.CDROM // as xl takes it
	return d, nil
}

func without(words []string, word string) []string {
	return slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == word })
}

func setDisk(d *xen.Disk, key, value string) error {
	switch {
	case key == "target" && strings.HasPrefix(value, "/"): // else xl adds /dev/, or it is a prefix that names a script
		d.Path = value
	case key == "vdev":
		dev, cdrom := strings.CutSuffix(value, ":cdrom")
		d.Dev, d.CDROM = dev, d.CDROM || cdrom
	case key == "devtype" && value == "cdrom":
		d.CDROM = true
	case key == "devtype" && value == "disk":
	case key == "access" && (value == "rw" || value == "w"):
		d.ReadOnly = false
	case key == "access" && (value == "ro" || value == "r"):
		d.ReadOnly = true
	case key == "access" && value == "":
	case key == "format" && (value == "raw" || value == ""):
	case key == "backendtype" && value == "phy":
	default:
		return fmt.Errorf("%s %q has no place here", key, value)
	}
	return nil
}

// parseVif reads the part of xl-network-configuration(5) that a Spec can hold.
func parseVif(s string) (v xen.Vif, err error) {
	for item := range strings.SplitSeq(s, ",") {
		key, value, _ := strings.Cut(item, "=")
		switch key {
		case "mac":
			if v.MAC, err = xen.ParseMAC(value); err != nil {
				return v, err
			}
		case "bridge":
			v.Bridge = value
		case "vifname":
			v.Name = value
		case "rate":
			if v.Rate, err = parseRate(value); err != nil {
				return v, err
			}
		default:
			return v, fmt.Errorf("%q has no place here", item)
		}
	}
	return v, nil
}

// parseRate reads what xl takes as a vif's rate, as 10Mb/s or 1250000B/s, in
// bit/s. Another interval than xl's own, behind an @, has no place in a Spec.
func parseRate(s string) (int64, error) {
	refused := fmt.Errorf("rate=%q has no place here", s)
	digits, unit := strings.TrimRight(s, "GMKbBs/"), int64(1)
	switch s[len(digits):] {
	case "b/s":
	case "Kb/s":
		unit = 1e3
	case "Mb/s":
		unit = 1e6
	case "Gb/s":
		unit = 1e9
	case "B/s":
		unit = 8
	case "KB/s":
		unit = 8e3
	case "MB/s":
		unit = 8e6
	case "GB/s":
		unit = 8e9
	default:
		return 0, refused
	}
	n, err := strconv.ParseUint(digits, 10, 40)
	if err != nil || int64(n) > xen.MaxVifRate/unit {
		return 0, refused
	}
	return int64(n) * unit, nil
}
