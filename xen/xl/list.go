package xl

import (
	"context"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/verb"
)

// row is one line of xl list -v, read from the right: the name can hold
// anything, and one of more than 40 bytes shifts the columns.
var row = regexp.MustCompile(`(?s)^(.*?)\s+(\d+)\s+(\d+)\s+(\d+)\s+[-r][-b]([-p])([-s])[-rscwS?]([-d])\s+(\d+\.\d)\s+([0-9a-f-]{36})\s+(-|[0-9a-f]+)\s+\S+$`)

// parseList reads the table of xl list -v and leaves dom0 out.
func parseList(table string) ([]xen.Domain, error) {
	head, body, _ := strings.Cut(table, "\n")
	if !strings.HasPrefix(head, "Name ") || !strings.Contains(head, "UUID") {
		return nil, fmt.Errorf("xl list -v begins with %q", head)
	}
	domains := []xen.Domain{}
	rest := "" // the first part of a name with a newline in it
	for line := range strings.Lines(body) {
		rest += line
		m := row.FindStringSubmatch(strings.TrimSuffix(rest, "\n"))
		if m == nil {
			continue
		}
		rest = ""
		d, err := parseRow(m)
		if err != nil {
			return nil, err
		}
		if d.ID != 0 {
			domains = append(domains, d)
		}
	}
	if rest != "" {
		return nil, fmt.Errorf("xl list -v ends with %q", rest)
	}
	slices.SortFunc(domains, func(a, b xen.Domain) int { return a.ID - b.ID })
	return domains, nil
}

func parseRow(m []string) (d xen.Domain, err error) {
	if d.Name = m[1]; d.Name == "(null)" {
		d.Name = ""
	}
	var mem int64
	for _, n := range []struct {
		text string
		into func(int64)
	}{
		{m[2], func(v int64) { d.ID = int(v) }},
		{m[3], func(v int64) { mem = v }},
		{m[4], func(v int64) { d.VCPUs = int(v) }},
	} {
		v, err := strconv.ParseInt(n.text, 10, 32)
		if err != nil {
			return d, fmt.Errorf("xl list -v: %w", err)
		}
		n.into(v)
	}
	d.Memory = mem << 20
	seconds, err := strconv.ParseFloat(m[8], 64)
	if err != nil || seconds > 1e9 {
		return d, fmt.Errorf("xl list -v: time %q", m[8])
	}
	d.CPUTime = time.Duration(seconds*10+0.5) * (time.Second / 10)
	if d.UUID, err = uuid.Parse(m[9]); err != nil {
		return d, fmt.Errorf("xl list -v: %w", err)
	}
	d.State, d.Reason = state(d, m[5] == "p", m[6] == "s", m[7] == "d", m[10])
	return d, nil
}

// state reads the letters and the reason code (libxl_shutdown_reason in hex).
func state(d xen.Domain, paused, shut, dying bool, code string) (xen.State, xen.Reason) {
	var reason xen.Reason
	if shut {
		reason = map[string]xen.Reason{
			"0": xen.Poweroff, "1": xen.Reboot, "2": xen.Suspend, "3": xen.Crash, "4": xen.Watchdog, "5": xen.SoftReset,
		}[code]
	}
	switch {
	case dying:
		return xen.Dying, reason
	case reason == xen.Suspend:
		return xen.Suspended, reason
	case reason == xen.Crash || reason == xen.Watchdog:
		return xen.Crashed, reason
	case shut:
		return xen.Stopped, reason
	case d.Memory == 0 || d.VCPUs == 0 || d.Name == "":
		return xen.Building, ""
	case paused:
		return xen.Paused, ""
	}
	return xen.Running, ""
}

// List implements xen.Lister.
//
//	xl list -v
func (d *Driver) List(ctx context.Context) ([]xen.Domain, error) {
	domains, err := d.list(ctx)
	return domains, verb.Wrap("list", "", err)
}

func (d *Driver) list(ctx context.Context) ([]xen.Domain, error) {
	a := d.run(ctx, d.opts.Limits.Query, "xl", "list", "-v")
	if a.err != nil {
		return nil, a.failure()
	}
	return parseList(a.stdout)
}

// Lookup implements xen.Lister.
func (d *Driver) Lookup(ctx context.Context, id uuid.UUID) (xen.Domain, error) {
	found, err := d.lookup(ctx, id)
	return found, verb.Wrap("lookup", id.String(), err)
}

func (d *Driver) lookup(ctx context.Context, id uuid.UUID) (xen.Domain, error) {
	domains, err := d.list(ctx)
	if err != nil {
		return xen.Domain{}, err
	}
	found, ok := pick(domains, id)
	if !ok {
		return xen.Domain{}, fs.ErrNotExist
	}
	return found, nil
}

// pick returns the domain with this UUID that is most alive.
func pick(domains []xen.Domain, id uuid.UUID) (best xen.Domain, ok bool) {
	alive := []xen.State{xen.Running, xen.Paused, xen.Building, xen.Suspended, xen.Stopped, xen.Crashed, xen.Dying}
	for _, d := range domains {
		if d.UUID == id && (!ok || slices.Index(alive, d.State) < slices.Index(alive, best.State)) {
			best, ok = d, true
		}
	}
	return best, ok
}

// byID returns the domain that had this domid and UUID.
func byID(domains []xen.Domain, domid int, id uuid.UUID) (xen.Domain, bool) {
	for _, d := range domains {
		if d.ID == domid && d.UUID == id {
			return d, true
		}
	}
	return xen.Domain{}, false
}
