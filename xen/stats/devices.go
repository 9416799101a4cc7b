package stats

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// sectorSize is the unit of blkback's counters, whatever the disk has.
const sectorSize = 512

// readDevices adds the devices of the backends in dom0 to their domains.
func readDevices(ctx context.Context, root string, domains map[int]*Domain) error {
	text, err := os.ReadFile(root + "/proc/net/dev")
	if err != nil {
		return err
	}
	interfaces, err := parseNetDev(string(text))
	if err != nil {
		return err
	}
	dir := root + "/sys/bus/xen-backend/devices"
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no backend driver is loaded: no device is there
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		kind, domid, number, ok := parseDevice(entry.Name())
		d := domains[domid]
		if !ok || d == nil {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		path := filepath.Join(dir, entry.Name())
		switch kind {
		case "vif":
			v, err := readVif(path, number, interfaces)
			if err != nil {
				return err
			}
			d.Vifs = append(d.Vifs, v)
		case "vbd":
			v, err := readVbd(path, number)
			if gone(err) {
				continue
			}
			if err != nil {
				return err
			}
			d.Vbds = append(d.Vbds, v)
		}
	}
	return nil
}

// gone tells that a device went away while it was read, or has no counters
// since its backend is not ready yet.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV)
}

// parseDevice reads the name of a backend device: vif-7-0.
func parseDevice(name string) (kind string, domid, number int, ok bool) {
	parts := strings.Split(name, "-")
	if len(parts) != 3 {
		return "", 0, 0, false
	}
	domid, err1 := strconv.Atoi(parts[1])
	number, err2 := strconv.Atoi(parts[2])
	return parts[0], domid, number, err1 == nil && err2 == nil && domid > 0 && number >= 0
}

// traffic is dom0's view of an interface.
type traffic struct{ rxBytes, rxPackets, txBytes, txPackets uint64 }

// readVif finds the name of a vif's interface. Without a net folder, or
// without a line in /proc/net/dev, it has none yet or no longer.
func readVif(path string, index int, interfaces map[string]traffic) (Vif, error) {
	v := Vif{Index: index}
	names, err := os.ReadDir(filepath.Join(path, "net"))
	if err != nil && !gone(err) {
		return v, err
	}
	for _, name := range names {
		if t, ok := interfaces[name.Name()]; ok {
			v.Name = name.Name()
			v.UploadBytes, v.UploadPackets, v.DownloadBytes, v.DownloadPackets = t.rxBytes, t.rxPackets, t.txBytes, t.txPackets
		}
	}
	return v, nil
}

// parseNetDev reads /proc/net/dev: two lines of head, then a line an interface,
// with bytes and packets received in columns 1 and 2, sent in 9 and 10.
func parseNetDev(text string) (map[string]traffic, error) {
	all := make(map[string]traffic)
	line := 0
	for row := range strings.Lines(text) {
		if line++; line <= 2 {
			continue
		}
		i := strings.LastIndexByte(row, ':') // a name can hold one
		fields := strings.Fields(row[i+1:])
		if i < 0 || len(fields) < 16 {
			return nil, fmt.Errorf("/proc/net/dev: line %q", row)
		}
		var t traffic
		for column, into := range map[int]*uint64{0: &t.rxBytes, 1: &t.rxPackets, 8: &t.txBytes, 9: &t.txPackets} {
			n, err := strconv.ParseUint(fields[column], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("/proc/net/dev: line %q: %w", row, err)
			}
			*into = n
		}
		all[strings.TrimSpace(row[:i])] = t
	}
	return all, nil
}

func readVbd(path string, number int) (Vbd, error) {
	v := Vbd{Number: number}
	for _, c := range []struct {
		file string
		into *uint64
		unit uint64
	}{
		{"rd_sect", &v.ReadBytes, sectorSize}, {"rd_req", &v.ReadOps, 1},
		{"wr_sect", &v.WriteBytes, sectorSize}, {"wr_req", &v.WriteOps, 1},
		{"f_req", &v.Flushes, 1},
	} {
		file := path + "/statistics/" + c.file
		text, err := os.ReadFile(file)
		if err != nil {
			return v, err
		}
		n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
		if err != nil {
			return v, fmt.Errorf("%s: %w", file, err)
		}
		*c.into = n * c.unit
	}
	return v, nil
}
