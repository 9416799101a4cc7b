package network

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-iptables/iptables"

	"github.com/xenhost/xenhost/xen/dom0"
)

// An anchor is a jump from a built-in chain to ours, in the first place. Only
// what the host itself is addressed by goes to the forwards: frames that a
// bridge passes on do not, nor does dom0's own traffic to 127.0.0.1.
type anchor struct {
	table, from, to string
	match           []string
}

func anchors() []anchor {
	local := []string{"-m", "addrtype", "--dst-type", "LOCAL"}
	return []anchor{
		{"filter", "FORWARD", fwdChain, nil},
		{"nat", "PREROUTING", dnatChain, local},
		{"nat", "OUTPUT", dnatChain, append([]string{"!", "-d", "127.0.0.0/8"}, local...)},
		{"nat", "POSTROUTING", snatChain, nil},
	}
}

func (a anchor) rule() rule {
	s := ruleset{}
	s.add(a.from, mark+"anchor", append(a.match, "-j", a.to)...)
	return s[a.from][0]
}

func (a anchor) in(s ruleset) bool {
	for _, r := range s[a.from] {
		if r.key() == a.rule().key() {
			return true
		}
	}
	return false
}

// write makes our rules those of next: anchors that go, the table filter, the
// table nat, anchors that come; then connections over forwards that are gone
// are forgotten. If a table is refused, everything goes back.
func (l *Linux) write(ctx context.Context, k *kernel, seen observed, next State) error {
	nat, filter := renderNAT(next, seen.foundIn(next)), renderFilter(next)
	wanted := map[string]ruleset{"nat": nat, "filter": filter}
	filterScript, err := script("filter", seen.filter.ours(), filter)
	if err != nil {
		return err
	}
	natScript, err := script("nat", seen.nat.ours(), nat)
	if err != nil {
		return err
	}
	if len(filter) > 0 {
		if err := l.forwardPackets(); err != nil {
			return err
		}
	}
	if err := l.setAnchors(seen, wanted, false); err != nil {
		return err
	}
	if err := l.restore(ctx, filterScript); err != nil {
		return errors.Join(err, l.goBack(ctx, seen))
	}
	if err := l.restore(ctx, natScript); err != nil {
		return errors.Join(err, l.goBack(ctx, seen))
	}
	if err := l.setAnchors(seen, wanted, true); err != nil {
		return err
	}
	return k.forget(seen.record.state, next, l.log)
}

// restore runs one script; an empty one needs nothing.
func (l *Linux) restore(ctx context.Context, script string) error {
	if script == "" {
		return nil
	}
	return l.runner.Run(ctx, dom0.Cmd{
		Args:  []string{l.iptables + "-restore", "--noflush", "--wait", "5"},
		Stdin: strings.NewReader(script),
	})
}

// goBack makes the table filter as seen again, from what it is by now, and the
// anchors too. It has a moment of its own, also when ctx is over.
func (l *Linux) goBack(ctx context.Context, seen observed) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	now, err := l.tables(ctx)
	if err != nil {
		return fmt.Errorf("go back: %w", err)
	}
	back, err := script("filter", now.filter.ours(), seen.filter.ours())
	if err != nil {
		return fmt.Errorf("go back: %w", err)
	}
	if err := l.restore(ctx, back); err != nil {
		return fmt.Errorf("go back: %w", err)
	}
	for _, a := range anchors() {
		if a.in(seen.table(a.table)) && !a.in(now.table(a.table)) {
			if err := l.anchor(a, true); err != nil {
				return fmt.Errorf("go back: %w", err)
			}
		}
	}
	return nil
}

func (o observed) table(name string) ruleset {
	if name == "nat" {
		return o.nat
	}
	return o.filter
}

// setAnchors inserts the jumps to chains that are there now (come), or takes
// away those to chains that are about to go.
func (l *Linux) setAnchors(seen observed, wanted map[string]ruleset, come bool) error {
	for _, a := range anchors() {
		_, needed := wanted[a.table][a.to]
		if needed != come || a.in(seen.table(a.table)) == needed {
			continue
		}
		if err := l.anchor(a, come); err != nil {
			return err
		}
	}
	return nil
}

// anchor inserts or deletes one jump by go-iptables, which waits 5 seconds for
// the kernel's lock.
func (l *Linux) anchor(a anchor, insert bool) error {
	ipt, err := iptables.New(iptables.Path(l.iptables), iptables.Timeout(5))
	if err != nil {
		return fmt.Errorf("%s: %w", l.iptables, err)
	}
	if insert {
		err = ipt.InsertUnique(a.table, a.from, 1, a.rule().args...)
	} else {
		err = ipt.DeleteIfExists(a.table, a.from, a.rule().args...)
	}
	if err != nil {
		return fmt.Errorf("anchor %s to %s: %w", a.from, a.to, err)
	}
	return nil
}

// foundIn tells which facts of next were made by hand: those that were so
// before, and those that are new to us and there already.
func (o observed) foundIn(next State) map[string]bool {
	known := map[string]bool{}
	for _, f := range o.record.state.facts() {
		known[f.line] = true
	}
	out := map[string]bool{}
	for _, f := range o.linked(State{Bridges: next.Bridges}).facts() {
		made := o.found[f.line]
		if !known[f.line] {
			made = true
		}
		out[f.line] = made
	}
	for _, b := range next.Bridges {
		if o.bridges[b.Name].ours {
			out[bridgeFact(b.Name)] = false
		}
	}
	return out
}

// checkVariant refuses to work beside rules of ours that the other variant of
// iptables made: both would be in force, and only one would be seen.
func (l *Linux) checkVariant(ctx context.Context) error {
	version, err := dom0.Output(ctx, l.runner, l.iptables, "--version")
	if err != nil {
		return err
	}
	other := "iptables-legacy-save"
	if !strings.Contains(string(version), "nf_tables") {
		other = "iptables-nft-save"
	} else if used, err := legacyTables(); err != nil || !used {
		return err
	}
	out, err := dom0.Output(ctx, l.runner, other)
	var failed *dom0.Error
	if errors.As(err, &failed) && failed.ExitCode < 0 && ctx.Err() == nil {
		return nil // not installed, so nothing of ours was made by it
	}
	if err != nil {
		return err
	}
	if strings.Contains(string(out), "\n:"+chainPrefix) {
		return fmt.Errorf("%s shows chains %s*, but the host uses %s: %w", other, chainPrefix, l.iptables, ErrForeign)
	}
	return nil
}
