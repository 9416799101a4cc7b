package migrate

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
)

// live refuses a live move that can not be.
func (p *Plan) live() error {
	if p.Mode == Live && len(p.notLive) > 0 {
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
	if older(there.Xen, here.Xen) {
		problems = append(problems, fmt.Sprintf("Xen %s on %s can not take a domain from Xen %s", there.Xen, t.Host, here.Xen))
	}
	return problems
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
