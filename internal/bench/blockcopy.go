package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/xenhost/xenhost/internal/cli"
)

// sizes are the volumes to measure with, in bytes.
type sizes []int64

// Set implements flag.Value.
func (s *sizes) Set(text string) error {
	var n cli.Size
	if err := n.Set(text); err != nil {
		return err
	}
	if n < 64<<20 {
		return fmt.Errorf("%s is less than 64M", text)
	}
	*s = append(*s, int64(n))
	return nil
}

// String implements flag.Value.
func (s *sizes) String() string {
	var all []string
	for _, n := range *s {
		all = append(all, cli.Bytes(n))
	}
	return strings.Join(all, " ")
}

// benchBlockcopy brings volumes from one file to another, by blocksync and by
// what one would otherwise use: a full copy, then one percent changed at random
// and in one place, then nothing changed; and by a list of changes.
//
// CPU is that of both ends. Files are in the page cache unless the row says
// otherwise, so that the tools are measured and not the disk.
func (s sizes) benchBlockcopy(ctx context.Context) ([]Row, error) {
	if len(s) == 0 {
		s = sizes{256 << 20}
	}
	dir, err := os.MkdirTemp("", "bench-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	b := &copies{dir: dir}
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	var rows []Row
	for _, size := range s {
		b.size = size
		for _, measure := range []func(context.Context) ([]Row, error){b.full, b.overSSH, b.random, b.clustered, b.unchanged} {
			r, err := measure(ctx)
			rows = append(rows, r...)
			if err != nil {
				return rows, err
			}
		}
		if err := b.clear(); err != nil {
			return rows, err
		}
	}
	r, err := b.byList(ctx)
	return append(rows, r...), err
}

// row names the size.
func (b *copies) row(metric, peer string, ours, theirs, target float64) Row {
	return compare("blockcopy", cli.Bytes(b.size)+" "+metric, peer, ours, theirs, target)
}

const mib = 1 << 20

// full copies to where nothing is.
func (b *copies) full(ctx context.Context) ([]Row, error) {
	if err := fill(b.path("src"), b.size); err != nil {
		return nil, err
	}
	ours, err := b.blocksync(ctx, "ours", "--index", b.path("index"))
	if err != nil {
		return nil, err
	}
	dd, err := b.pipe(ctx, b.dd("src"), b.ddTo("dd"))
	if err != nil {
		return nil, err
	}
	zstd, err := b.pipe(ctx, b.dd("src"), []string{"zstd", "-1", "-T2", "-q"}, []string{"zstd", "-d", "-q"}, b.ddTo("dd"))
	if err != nil {
		return nil, err
	}
	rsync, err := b.rsync(ctx, "rsync")
	if err != nil {
		return nil, err
	}
	const pipe = "on a pipe as fast as memory dd only copies: no hash, no zstd, no proof"
	return []Row{
		b.row("full copy, CPU s", "dd | dd", ours.cpu, dd.cpu, 0),
		b.row("full copy, CPU s", "dd | zstd -1 | zstd -d | dd", ours.cpu, zstd.cpu, 1.25).ifMissed("SHA-256 at both ends is the difference"),
		b.row("full copy, CPU s", "rsync", ours.cpu, rsync.cpu, 0),
		b.row("full copy, MiB on the wire", "dd | dd", ours.wire/mib, float64(b.size)/mib, 1.5),
		b.row("full copy, MiB on the wire", "dd | zstd -1 | zstd -d | dd", ours.wire/mib, zstd.wire/mib, 0),
		b.row("full copy, s", "dd | dd", ours.wall, dd.wall, 1).ifMissed(pipe),
		b.row("full copy, s", "dd | zstd -1 | zstd -d | dd", ours.wall, zstd.wall, 1),
		b.row("full copy, MiB of memory, both ends", "the limit of one end", ours.rss, 64, 1),
		b.row("full copy, MiB of memory", "rsync, the larger end", ours.rss, rsync.rss, 0),
	}, nil
}

// overSSH is the full copy as it is done in earnest, on loopback and on a link.
func (b *copies) overSSH(ctx context.Context) ([]Row, error) {
	near, err := b.sshPair(ctx, 0)
	if err != nil {
		return nil, err
	}
	far, err := b.sshPair(ctx, gigabit)
	if err != nil {
		return nil, err
	}
	const name = "dd | ssh dd"
	return []Row{
		b.row("full copy over ssh, 1 Gbit/s, s", name, far[0].wall, far[1].wall, 2).ifMissed("both ends, ssh twice and the link share these cores; with them free it is what does not travel"),
		b.row("full copy over ssh, loopback, s", name, near[0].wall, near[1].wall, 2).ifMissed("both ends share these cores, and ssh on loopback is faster than one of them packs and proves"),
		b.row("full copy over ssh, loopback, CPU s with sshd", name, near[0].cpu, near[1].cpu, 0),
	}, nil
}

// sshPair returns what blocksync took, and what dd.
func (b *copies) sshPair(ctx context.Context, rate float64) (pair [2]cost, err error) {
	for _, name := range []string{"ssh-ours", "dd"} {
		if err := os.RemoveAll(b.path(name)); err != nil {
			return pair, err
		}
	}
	pair[0], err = b.withSSH(ctx, rate, func(s *sshd) (cost, error) {
		args := []string{"--remote", b.path("blocksync"), "--json", b.path("src"), "ssh:" + s.host() + ":" + b.path("ssh-ours")}
		for _, o := range s.options() {
			args = append(args, "--ssh-option="+o)
		}
		return b.report(ctx, append([]string{b.path("blocksync")}, args...))
	})
	if err != nil {
		return pair, err
	}
	pair[1], err = b.withSSH(ctx, rate, func(s *sshd) (cost, error) {
		return b.pipe(ctx, b.dd("src"), s.command(b.ddTo("dd")...))
	})
	return pair, err
}

// random changes one percent of the blocks, here and there.
func (b *copies) random(ctx context.Context) ([]Row, error) {
	if err := b.followers(ctx); err != nil {
		return nil, err
	}
	changed, err := changeRandom(b.path("src"), b.size, 100)
	if err != nil {
		return nil, err
	}
	return b.delta(ctx, "1 % at random", changed)
}

// clustered changes one percent of the volume in one place.
func (b *copies) clustered(ctx context.Context) ([]Row, error) {
	changed, err := changeRange(b.path("src"), b.size/3/4096*4096, b.size/100/4096*4096)
	if err != nil {
		return nil, err
	}
	return b.delta(ctx, "1 % in one place", changed)
}

// delta brings all copies up to date.
func (b *copies) delta(ctx context.Context, what string, changed int64) ([]Row, error) {
	ours, err := b.blocksync(ctx, "ours", "--index", b.path("index"))
	if err != nil {
		return nil, err
	}
	asked, err := b.blocksync(ctx, "asked")
	if err != nil {
		return nil, err
	}
	rsync, err := b.rsync(ctx, "rsync")
	if err != nil {
		return nil, err
	}
	small, err := b.rsync(ctx, "rsync-4096", "-B", "4096")
	if err != nil {
		return nil, err
	}
	desync, err := b.desyncMake(ctx)
	if err != nil {
		return nil, err
	}
	c := float64(changed) / mib
	return []Row{
		b.row(what+", index, MiB on the wire", "1.05 times what changed", ours.wire/mib, 1.05*c, 1),
		b.row(what+", index, CPU s", "rsync --inplace", ours.cpu, rsync.cpu, 20).ifMissed("reading all of the source is most of it; rsync's share grows with the size, as its blocks do"),
		b.row(what+", index, CPU s", "rsync --inplace -B 4096", ours.cpu, small.cpu, 8).ifMissed("reading all of the source is most of it"),
		b.row(what+", index, CPU s", "desync make", ours.cpu, desync.cpu, 0),
		b.row(what+", index, MiB on the wire", "rsync --inplace", ours.wire/mib, rsync.wire/mib, 0),
		b.row(what+", index, MiB on the wire", "rsync --inplace -B 4096", ours.wire/mib, small.wire/mib, 0),
		b.row(what+", index, MiB on the wire", "desync's new chunks", ours.wire/mib, desync.wire/mib, 0),
		b.row(what+", index, MiB of memory, both ends", "the limit of one end", ours.rss, 64, 1),
		b.row(what+", no index, CPU s", "rsync --inplace -B 4096", asked.cpu, small.cpu, 0),
		b.row(what+", no index, MiB both ways", "rsync --inplace -B 4096", asked.wire/mib, small.wire/mib, 0),
	}, nil
}

// unchanged has nothing to send; the source comes from the disk.
func (b *copies) unchanged(ctx context.Context) ([]Row, error) {
	cold := func(run func() (cost, error)) (cost, error) {
		if err := evict(b.path("src")); err != nil {
			return cost{}, err
		}
		return run()
	}
	ours, err := cold(func() (cost, error) { return b.blocksync(ctx, "ours", "--index", b.path("index")) })
	if err != nil {
		return nil, err
	}
	read, err := cold(func() (cost, error) {
		return b.pipe(ctx, []string{"dd", "if=" + b.path("src"), "of=/dev/null", "bs=1M", "status=none"})
	})
	if err != nil {
		return nil, err
	}
	warm, err := b.blocksync(ctx, "ours", "--index", b.path("index"))
	if err != nil {
		return nil, err
	}
	rsync, err := b.rsync(ctx, "rsync", "--ignore-times")
	if err != nil {
		return nil, err
	}
	return []Row{
		b.row("nothing changed, from the disk, s", "dd of=/dev/null", ours.wall, read.wall, 0.9).ifMissed("the disk here is as fast as a core hashes"),
		b.row("nothing changed, KiB on the wire", "rsync --inplace", ours.wire/1024, rsync.wire/1024, 0),
		b.row("nothing changed, CPU s", "rsync --inplace", warm.cpu, rsync.cpu, 0),
	}, nil
}

// followers makes the copies that only deltas need.
func (b *copies) followers(ctx context.Context) error {
	for _, name := range []string{"asked", "rsync-4096"} {
		if _, err := b.pipe(ctx, b.dd("src"), b.ddTo(name)); err != nil {
			return err
		}
	}
	_, err := b.desyncMake(ctx)
	return err
}

func (b *copies) path(name string) string { return filepath.Join(b.dir, name) }
