package diskrate

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A group is the directory of the one control group that is ours, below the
// root of a mounted hierarchy. It need not exist.
type group struct {
	root, dir string
	unified   bool // version 2
}

// findGroup finds the hierarchy that has the block controller, by
// /proc/self/mountinfo.
func findGroup(mountinfo []byte, name string) (group, error) {
	for line := range strings.Lines(string(mountinfo)) {
		f := strings.Fields(line)
		i := slices.Index(f, "-")
		if i < 6 || len(f) < i+4 || f[3] != "/" { // only the root of a hierarchy has all threads
			continue
		}
		root := unescape(f[4])
		g := group{root: root, dir: filepath.Join(root, name)}
		switch f[i+1] {
		case "cgroup":
			if slices.Contains(strings.Split(f[i+3], ","), "blkio") {
				return g, nil
			}
		case "cgroup2":
			g.unified = true
			has, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
			if err == nil && slices.Contains(strings.Fields(string(has)), "io") {
				return g, nil
			}
		}
	}
	return group{}, fmt.Errorf("no control groups with the block controller are mounted (mount -t cgroup2 none /sys/fs/cgroup): %w", errors.ErrUnsupported)
}

// unescape undoes the kernel's octal escapes of white space.
func unescape(path string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(path)
}

// write writes to a file that is there; the kernel takes each write as one.
func write(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// make makes the group, with its controller.
func (g group) make() error {
	if g.unified {
		if err := write(filepath.Join(g.root, "cgroup.subtree_control"), "+io"); err != nil {
			return err
		}
	}
	if err := os.Mkdir(g.dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, f := range g.files() {
		if _, err := os.Stat(f); err != nil {
			return fmt.Errorf("this kernel can not throttle block devices, %s is not there: %w", f, errors.ErrUnsupported)
		}
	}
	return nil
}

// remove takes the group away; its threads go back to the root.
func (g group) remove() error {
	ids, err := g.threads()
	for _, id := range ids {
		err = errors.Join(err, move(g.root, id))
	}
	if err != nil {
		return err
	}
	err = os.Remove(g.dir)
	if errors.Is(err, unix.EBUSY) || errors.Is(err, fs.ErrNotExist) {
		return nil // a thread that just ended still counts; without a line the group does nothing
	}
	return err
}

// files are those that the lines stand in.
func (g group) files() (paths []string) {
	if g.unified {
		return []string{filepath.Join(g.dir, "io.max")}
	}
	for _, w := range (&Limit{}).words() {
		paths = append(paths, filepath.Join(g.dir, "blkio.throttle."+w.old))
	}
	return paths
}

// limits reads the lines; there are none without the group.
func (g group) limits() (map[Device]Limit, error) {
	all := map[Device]Limit{}
	for i, path := range g.files() {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			if len(f) < 2 {
				continue
			}
			d, err := parseDevice(f[0])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			l := all[d]
			if g.unified {
				l, err = parseLimit(f[1:])
			} else {
				*l.words()[i].value, err = parseCount(f[1])
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			all[d] = l
		}
	}
	return all, nil
}

// set writes a device's line.
func (g group) set(d Device, l Limit) error {
	if g.unified {
		return refusal(write(g.files()[0], d.String()+" "+l.full()))
	}
	for i, w := range l.words() {
		if err := write(g.files()[i], d.String()+" "+strconv.FormatInt(*w.value, 10)); err != nil {
			return refusal(err)
		}
	}
	return nil
}

// refusal says what the kernel's answer to a line means.
func refusal(err error) error {
	switch {
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("the device is gone, or a partition: %w", fs.ErrNotExist)
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("this device can not be throttled: %w", errors.ErrUnsupported)
	}
	return err
}

// threads are those in the group.
func (g group) threads() (ids []int, err error) {
	data, err := os.ReadFile(filepath.Join(g.dir, "cgroup.procs"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		id, err := strconv.Atoi(lines.Text())
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// move puts a thread into a group; one that has ended meanwhile needs none.
func move(dir string, id int) error {
	err := write(filepath.Join(dir, "cgroup.procs"), strconv.Itoa(id))
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}
