package xl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sync"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// pipes are the two FIFOs that xl migrate's child is joined to.
type pipes struct {
	dir  string
	out  *os.File // what xl says
	in   *os.File // what xl hears
	once sync.Once
}

// plain is what may stand in the one line that a shell reads.
var plain = regexp.MustCompile(`^/[A-Za-z0-9/._-]+$`)

// openPipes makes the FIFOs of a domain anew, in a folder that only root enters.
// Both are opened for reading and writing, so that neither end waits for the
// other to be opened; when they are closed, here or because this process died,
// xl's child sees the end of each.
func (d *Driver) openPipes(id uuid.UUID) (*pipes, error) {
	p := &pipes{dir: d.pipeDir(id)}
	if !plain.MatchString(p.dir) {
		return nil, fmt.Errorf("folder %q: a shell would not take it as it is", p.dir)
	}
	if err := os.RemoveAll(p.dir); err != nil {
		return nil, err
	}
	if err := os.Mkdir(p.dir, 0o700); err != nil {
		return nil, err
	}
	for _, f := range []struct {
		name string
		into **os.File
	}{{"out", &p.out}, {"in", &p.in}} {
		path := filepath.Join(p.dir, f.name)
		err := unix.Mkfifo(path, 0o600)
		if err == nil {
			*f.into, err = os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
		}
		if err != nil {
			p.remove()
			return nil, fmt.Errorf("fifo %s: %w", path, err)
		}
	}
	p.widen()
	return p, nil
}

// widen asks for a larger pipe for the memory; the kernel may refuse.
func (p *pipes) widen() {
	if raw, err := p.out.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, 1<<20) })
	}
}

// line is the command that xl gives to sh -c. A background command of a shell
// reads /dev/null unless its stdin is named, hence descriptor 5.
func (p *pipes) line() string { return pipeLine(p.dir) }

func pipeLine(dir string) string {
	return "exec 5<&0; cat <&5 >" + dir + "/out & exec cat <" + dir + "/in"
}

func (p *pipes) close() {
	p.once.Do(func() {
		for _, f := range []*os.File{p.out, p.in} {
			if f != nil {
				f.Close()
			}
		}
	})
}

func (p *pipes) remove() {
	p.close()
	_ = os.RemoveAll(p.dir)
}

func (d *Driver) pipeDir(id uuid.UUID) string { return filepath.Join(d.opts.RunDir, id.String()) }

// unblock lets xl's child go that waits to open a FIFO whose owner died before
// it came to that.
func (d *Driver) unblock(id uuid.UUID) {
	for _, name := range []string{"out", "in"} {
		path := filepath.Join(d.pipeDir(id), name)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if f, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0); err == nil {
			f.Close()
		}
	}
}
