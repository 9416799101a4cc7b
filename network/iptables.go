package network

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/xenhost/xenhost/xen/dom0"
)

// iptables keeps our rules by iptables-save and iptables-restore --noflush, and
// the same for ip6tables.
type iptables struct {
	iptablesRules
	runner  dom0.Runner
	command string // "iptables", "iptables-nft" or "iptables-legacy"
	legacy  bool
	seed    maphash.Seed
}

// of is the command for a family: iptables-nft is ip6tables-nft for IPv6.
func (t *iptables) of(f family) string {
	if f == v6 {
		return strings.Replace(t.command, "iptables", "ip6tables", 1)
	}
	return t.command
}

// read implements backend. All tables are listed in one go: iptables-nft-save
// reads all of them for any, and iptables-legacy-save -t would make a table
// that is not there.
func (t *iptables) read(ctx context.Context) (lines, stamp, error) {
	var before stamp
	var err error
	if !t.legacy {
		if before, err = generation(); err != nil {
			return nil, 0, err
		}
	}
	out := lines{}
	for _, f := range families() {
		text, err := t.save(ctx, f)
		if err != nil {
			return nil, 0, err
		}
		parseSave(out, f, text)
	}
	if t.legacy {
		before = t.sum(out)
	}
	return out, before, nil
}

func (t *iptables) save(ctx context.Context, f family) (string, error) {
	if f == v6 && !hasIPv6() {
		return "", nil
	}
	out, err := dom0.Output(ctx, t.runner, t.of(f)+"-save")
	if f == v6 && notInstalled(ctx, err) {
		return "", nil
	}
	return string(out), err
}

// hasIPv6 reports whether the kernel of this namespace speaks IPv6.
func hasIPv6() bool {
	_, err := os.Stat(procNet + "if_inet6")
	return !errors.Is(err, fs.ErrNotExist)
}

// notInstalled reports whether a command failed because it is not there.
func notInstalled(ctx context.Context, err error) bool {
	var failed *dom0.Error
	return errors.As(err, &failed) && failed.ExitCode < 0 && ctx.Err() == nil
}

// parseSave adds what is ours of an iptables-save to l: our chains, and what
// leads to them.
func parseSave(l lines, f family, text string) {
	table := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "*"):
			table = line[1:]
		case strings.HasPrefix(line, ":"+chainPrefix):
			name, _, _ := strings.Cut(line[1:], " ")
			l[place{f, table, name}] = nil
		case strings.HasPrefix(line, "-A "):
			chain, rest, _ := strings.Cut(line[3:], " ")
			if strings.HasPrefix(chain, chainPrefix) || strings.Contains(rest, "-j "+chainPrefix) {
				at := place{f, table, chain}
				l[at] = append(l[at], rest)
			}
		}
	}
}

// says implements backend.
func (t *iptables) says(p place, text string) (string, bool) {
	if p.table != "nat" {
		return "", false
	}
	return comment(text)
}

// stamp implements backend. The nft variant asks the kernel for the number of
// changes that there were of any kind; legacy iptables has no such thing, and
// its whole text is read.
func (t *iptables) stamp(ctx context.Context) (stamp, error) {
	if !t.legacy {
		return generation()
	}
	_, s, err := t.read(ctx)
	return s, err
}

// becomes implements backend.
func (t *iptables) becomes(was stamp, w written) stamp {
	if t.legacy {
		return was - t.sum(w.before) + t.sum(w.after)
	}
	return was + stamp(w.commits)
}

// sum is the same for the same lines: a sum of hashes, so that a change of few
// lines changes it by what is known of those.
func (t *iptables) sum(l lines) stamp {
	var sum uint64
	var h maphash.Hash
	h.SetSeed(t.seed)
	for p, list := range l {
		for i, text := range list {
			h.Reset()
			_, _ = h.WriteString(string(p.family) + " " + p.table + " " + p.name + " " + text)
			if ordered(p) {
				_ = h.WriteByte(byte(i))
			}
			sum += h.Sum64()
		}
	}
	return stamp(sum)
}

// write implements backend. The table filter comes before nat, so that nothing
// is sent where it may not pass.
func (t *iptables) write(ctx context.Context, before, after lines) (written, error) {
	after = after.keeping(before)
	done := written{before: before, after: after}
	type step struct {
		family family
		script string
		back   string
	}
	var steps []step
	for _, table := range []string{"filter", "nat"} {
		for _, f := range families() {
			there, err := restoreScript(f, table, before, after)
			if err != nil {
				return done, err
			}
			back, err := restoreScript(f, table, after, before)
			if err != nil {
				return done, err
			}
			if there != "" {
				steps = append(steps, step{f, there, back})
			}
		}
	}
	for i, s := range steps {
		err := t.restore(ctx, s.family, s.script)
		if err == nil {
			done.commits++
			continue
		}
		// Going back has a moment of its own, also when ctx is over.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		for ; i > 0; i-- {
			if failed := t.restore(ctx, steps[i-1].family, steps[i-1].back); failed != nil {
				return done, errors.Join(err, fmt.Errorf("go back: %w", failed))
			}
		}
		return done, err
	}
	return done, nil
}

func (t *iptables) restore(ctx context.Context, f family, script string) error {
	err := t.runner.Run(ctx, dom0.Cmd{
		Args:  []string{t.of(f) + "-restore", "--noflush", "--wait", "5"},
		Stdin: strings.NewReader(script),
	})
	if f == v6 && (notInstalled(ctx, err) || !hasIPv6()) {
		return fmt.Errorf("IPv6: %w", errors.Join(errors.ErrUnsupported, err))
	}
	return err
}
