package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cost is what a way to copy took.
type cost struct {
	wall float64 // s
	cpu  float64 // s, of all processes, user and system
	wire float64 // bytes, both ways
	rss  float64 // MiB, of the largest process
}

// copies is a folder of volumes and tools.
type copies struct {
	dir    string
	size   int64
	desync string
}

// prepare builds blocksync and finds the tools.
func (b *copies) prepare(ctx context.Context) error {
	for _, tool := range []string{"dd", "zstd", "rsync", "ssh", "ssh-keygen", sshdPath} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%w: apt-get install rsync zstd openssh-client openssh-server", err)
		}
	}
	out, err := exec.CommandContext(ctx, "go", "build", "-o", b.path("blocksync"), "github.com/xenhost/xenhost/examples/blocksync").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build blocksync: %w: %s", err, out)
	}
	b.desync, err = exec.LookPath("desync")
	if err != nil {
		b.desync, err = buildDesync(ctx, b.path("desync-module"))
	}
	return err
}

const desyncVersion = "v1.0.4"

// buildDesync builds it in a throw-away module: go install of it does not
// resolve.
func buildDesync(ctx context.Context, dir string) (string, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	for _, argv := range [][]string{
		{"go", "mod", "init", "throwaway"},
		{"go", "get", "github.com/folbricht/desync/cmd/desync@" + desyncVersion},
		{"go", "build", "-o", "desync", "github.com/folbricht/desync/cmd/desync"},
	} {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("desync: %s: %w: %s", strings.Join(argv, " "), err, out)
		}
	}
	return filepath.Join(dir, "desync"), nil
}

// clear removes the volumes, for the next size.
func (b *copies) clear() error {
	var all error
	for _, name := range []string{"src", "ours", ".ours.blockcopy", "index", "index.lock", "asked", "dd", "rsync", "rsync-4096", "ssh-ours", "store", "caibx"} {
		all = errors.Join(all, os.RemoveAll(b.path(name)))
	}
	return all
}

func (b *copies) dd(from string) []string {
	return []string{"dd", "if=" + b.path(from), "bs=1M", "status=none"}
}

func (b *copies) ddTo(to string) []string {
	return []string{"dd", "of=" + b.path(to), "bs=1M", "iflag=fullblock", "conv=fsync", "status=none"}
}

// pipe runs commands, each with the output of the one before as its input. Of
// four, the bytes in the middle are counted.
func (b *copies) pipe(ctx context.Context, argvs ...[]string) (cost, error) {
	var c cost
	var in *os.File
	var cmds []*exec.Cmd
	counted := make(chan int64, 1)
	counted <- 0
	start := time.Now()
	for i, argv := range argvs {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Stderr = os.Stderr
		if in != nil {
			cmd.Stdin = in
		}
		var out, next *os.File
		if i < len(argvs)-1 {
			var err error
			if next, out, err = os.Pipe(); err != nil {
				return c, err
			}
			cmd.Stdout = out
		}
		if err := cmd.Start(); err != nil {
			return c, err
		}
		cmds = append(cmds, cmd)
		for _, f := range []*os.File{in, out} {
			if f != nil {
				f.Close()
			}
		}
		in = next
		if len(argvs) == 4 && i == 1 { // between packing and unpacking
			r, w, err := os.Pipe()
			if err != nil {
				return c, err
			}
			<-counted
			go func(from *os.File) {
				n, _ := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{from}, make([]byte, 1<<20))
				w.Close()
				from.Close()
				counted <- n
			}(in)
			in = r
		}
	}
	var all error
	for _, cmd := range cmds {
		all = errors.Join(all, cmd.Wait())
		c.add(cmd.ProcessState)
	}
	c.wall = time.Since(start).Seconds()
	c.wire = float64(<-counted)
	return c, all
}

// add counts a process that has ended, and its children.
func (c *cost) add(p *os.ProcessState) {
	c.cpu += p.UserTime().Seconds() + p.SystemTime().Seconds()
	if u, ok := p.SysUsage().(*syscall.Rusage); ok {
		c.rss = max(c.rss, float64(u.Maxrss)/1024)
	}
}

// runOne runs one command and returns what it printed.
func runOne(ctx context.Context, argv []string) (cost, string, error) {
	var c cost
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stderr = os.Stderr
	start := time.Now()
	out, err := cmd.Output()
	c.wall = time.Since(start).Seconds()
	if cmd.ProcessState != nil {
		c.add(cmd.ProcessState)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	}
	return c, string(out), err
}

// blocksync brings the copy up to date; both ends are one process.
func (b *copies) blocksync(ctx context.Context, to string, args ...string) (cost, error) {
	argv := append([]string{b.path("blocksync"), "--json", b.path("src"), b.path(to)}, args...)
	return b.report(ctx, argv)
}

// report runs a blocksync --json.
func (b *copies) report(ctx context.Context, argv []string) (cost, error) {
	c, out, err := runOne(ctx, argv)
	if err != nil {
		return c, err
	}
	var said struct{ Sent, Received float64 }
	if err := json.Unmarshal([]byte(out), &said); err != nil {
		return c, err
	}
	c.wire = said.Sent + said.Received
	return c, nil
}

// rsync brings the copy up to date, both ends on this machine, over a pipe.
func (b *copies) rsync(ctx context.Context, to string, args ...string) (cost, error) {
	argv := append([]string{"rsync", "--inplace", "--no-whole-file", "--stats", "--no-h", "--fsync"}, args...)
	c, out, err := runOne(ctx, append(argv, b.path("src"), b.path(to)))
	for _, m := range regexp.MustCompile(`Total bytes (?:sent|received): (\d+)`).FindAllStringSubmatch(out, -1) {
		n, _ := strconv.ParseFloat(m[1], 64) // digits
		c.wire += n
	}
	if err == nil && c.wire == 0 {
		err = fmt.Errorf("rsync: no statistics in %q", out)
	}
	return c, err
}

// desyncMake cuts the source into chunks and adds the new ones to a store: what
// would be sent. Nothing is put together again.
func (b *copies) desyncMake(ctx context.Context) (cost, error) {
	before, err := folderSize(b.path("store"))
	if err != nil {
		return cost{}, err
	}
	if err := os.MkdirAll(b.path("store"), 0o700); err != nil {
		return cost{}, err
	}
	c, _, err := runOne(ctx, []string{b.desync, "make", "-s", b.path("store"), b.path("caibx"), b.path("src")})
	if err != nil {
		return c, err
	}
	after, err := folderSize(b.path("store"))
	c.wire = float64(after - before)
	return c, err
}

func folderSize(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && d.IsDir() {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}
