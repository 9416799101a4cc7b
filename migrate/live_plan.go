package migrate

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
)

// may refuses a move that can not be made in this mode, and fills in what
// depends on it.
func (p *Plan) may() error {
	p.estimate()
	if p.inRounds() && len(p.notRounds) > 0 {
		return fmt.Errorf("%w: %s", ErrRefused, strings.Join(p.notRounds, "; "))
	}
	if p.Mode != Live {
		return nil
	}
	if err := p.Guest.MayMoveLive(); err != nil {
		return fmt.Errorf("%w: %w; move it cold", ErrRefused, err)
	}
	if len(p.notLive) > 0 {
		return fmt.Errorf("%w: %s", ErrRefused, strings.Join(p.notLive, "; "))
	}
	return nil
}

// liveProblems are the reasons why a guest can not move live.
func liveProblems(g host.Guest, s, t handover.Seen, here, there handover.Survey) (problems []string) {
	for _, why := range here.Live {
		problems = append(problems, s.Host+": "+why)
	}
	for _, why := range there.Live {
		problems = append(problems, t.Host+": "+why)
	}
	switch {
	case s.Domain == nil:
		problems = append(problems, g.Name+" does not run, so there is no memory to move: move it cold")
	case s.Domain.State != xen.Running:
		problems = append(problems, fmt.Sprintf("the domain of %s is %s", g.Name, s.Domain.State))
	}
	if why := breaks(g.System); why != "" {
		problems = append(problems, why)
	}
	if here.Sees != nil && there.CPU != nil {
		if err := there.CPU.Takes(g.Type, *here.Sees); err != nil {
			problems = append(problems, t.Host+": "+err.Error())
		}
	}
	if older(there.Xen, here.Xen) {
		problems = append(problems, fmt.Sprintf("Xen %s on %s can not take a domain from Xen %s", there.Xen, t.Host, here.Xen))
	}
	return problems
}

// frames are the reasons why frames of the guest would be lost at the target:
// it keeps its MTU, and so do those who talk to it.
func frames(g host.Guest, s, t handover.Seen, here, there handover.Survey) (problems []string) {
	for i, n := range g.Nics {
		was, is := here.MTU[n.Bridge], there.MTU[n.Bridge]
		if is != 0 && is < was && !slices.ContainsFunc(g.Nics[:i], func(m host.Nic) bool { return m.Bridge == n.Bridge }) {
			problems = append(problems, fmt.Sprintf("%s: bridge %s has an MTU of %d, and of %d on %s", t.Host, n.Bridge, is, was, s.Host))
		}
	}
	return problems
}

// unchecked is what could not be compared for a live move.
func unchecked(s, t handover.Seen, here, there handover.Survey) (all []string) {
	for _, why := range here.Unchecked {
		all = append(all, s.Host+": "+why)
	}
	for _, why := range there.Unchecked {
		all = append(all, t.Host+": "+why)
	}
	return all
}

// older compares the first two numbers of versions as 4.17.7.
func older(a, b string) bool {
	number := func(v string, i int) int {
		parts := strings.Split(v, ".")
		if i >= len(parts) {
			return 0
		}
		n, _ := strconv.Atoi(parts[i]) // what is no number is 0
		return n
	}
	if x, y := number(a, 0), number(b, 0); x != y {
		return x < y
	}
	return number(a, 1) < number(b, 1)
}

// unknown tells that a snapshot can not say what changed.
func unknown(err error) bool {
	return errors.Is(err, lvm.ErrSnapshotInvalid) || errors.Is(err, errors.ErrUnsupported)
}
