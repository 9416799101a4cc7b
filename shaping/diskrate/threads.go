package diskrate

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// A thread serves a ring of a guest's disk.
type thread struct {
	id   int
	name string // "7.xvda-0"
}

// backend is how xen-blkback names its threads: domain, device, ring. Nothing in
// it is the guest's choice.
var backend = regexp.MustCompile(`^[1-9][0-9]*\.[a-z][a-z0-9]*-[0-9]+$`)

const kernelThread = 0x00200000 // PF_KTHREAD, which no program can give itself

// backends lists the threads of xen-blkback.
func backends(proc string) (all []thread, err error) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		id, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(proc, e.Name(), "stat"))
		if err != nil {
			continue // it has ended
		}
		name, ok := parseStat(string(stat))
		if ok && backend.MatchString(name) {
			all = append(all, thread{id, name})
		}
	}
	return all, nil
}

// parseStat reads the name out of /proc/PID/stat; ok is false if it is no thread
// of the kernel.
func parseStat(stat string) (name string, ok bool) {
	_, rest, _ := strings.Cut(stat, "(")
	i := strings.LastIndex(rest, ")")
	if i < 0 {
		return "", false
	}
	var state string
	var parent, group, session, tty, foreground int
	var flags uint64
	_, err := fmt.Sscan(rest[i+1:], &state, &parent, &group, &session, &tty, &foreground, &flags)
	return rest[:i], err == nil && flags&kernelThread != 0
}
