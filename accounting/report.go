package accounting

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Unit is what amounts are shown in. Ledgers hold bytes; a contract that says TB
// and a bill in TiB differ by a tenth.
type Unit int64

// The units of contracts, powers of 1000 and of 1024.
const (
	MB  Unit = 1e6
	GB  Unit = 1e9
	TB  Unit = 1e12
	MiB Unit = 1 << 20
	GiB Unit = 1 << 30
	TiB Unit = 1 << 40
)

// String returns GB, GiB, or as many bytes as it is.
func (u Unit) String() string {
	switch u {
	case MB:
		return "MB"
	case GB:
		return "GB"
	case TB:
		return "TB"
	case MiB:
		return "MiB"
	case GiB:
		return "GiB"
	case TiB:
		return "TiB"
	}
	return strconv.FormatInt(int64(u), 10) + " B"
}

// ParseUnit is the reverse of String, for those that have a name.
func ParseUnit(s string) (Unit, error) {
	for _, u := range []Unit{MB, GB, TB, MiB, GiB, TiB} {
		if u.String() == s {
			return u, nil
		}
	}
	return 0, fmt.Errorf("unit %q is none of MB, GB, TB, MiB, GiB, TiB: %w", s, ErrInvalid)
}

// Format prints bytes in the unit with three decimals, rounded down: nobody is
// billed for what he did not use.
func (u Unit) Format(bytes int64) string {
	sign := ""
	if bytes < 0 {
		sign, bytes = "-", -bytes
	}
	whole := bytes / int64(u)
	part, _ := mulDiv(uint64(bytes%int64(u)), 1000, uint64(u))
	return fmt.Sprintf("%s%d.%03d", sign, whole, part)
}

// Table writes statements for people.
func Table(w io.Writer, all []Statement, u Unit) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "GUEST\tFROM\tTO\tIN %v\tOUT %v\tP%d MBIT/S\tCPU H\tACTIVE\tMISSING\tFLAGS\n", u, u, percentileOf(all))
	for _, s := range all {
		loc, err := time.LoadLocation(s.Terms.Zone)
		if err != nil {
			loc = time.UTC
		}
		rate := fmt.Sprintf("%.3f", float64(s.Rate)/1e6)
		if s.Terms.Rule == RuleEach {
			rate = fmt.Sprintf("%.3f/%.3f", float64(s.RateIn)/1e6, float64(s.RateOut)/1e6)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%.2f\t%v\t%d\t%s\n", s.who(), s.Period.Start.In(loc).Format(time.DateOnly), s.Period.End.In(loc).Format(time.DateOnly),
			u.Format(s.In), u.Format(s.Out), rate, time.Duration(s.Usage[CPU]).Hours(), s.Active.Round(time.Minute), s.Missing, s.flags())
	}
	return t.Flush()
}

func percentileOf(all []Statement) int {
	if len(all) == 0 || all[0].Terms.Percentile == 0 {
		return 95
	}
	return all[0].Terms.Percentile
}

func (s Statement) who() string {
	if s.Name != "" {
		return s.Name
	}
	return s.Guest.String()
}

// flags lists how many slots have which, as "gap:3 reset:1".
func (s Statement) flags() string {
	var all []string
	for name, n := range s.Flags {
		all = append(all, fmt.Sprintf("%s:%d", name, n))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// CSV writes statements for spreadsheets: bytes and bit/s, whole numbers. A text
// that a spreadsheet would take for a formula gets an apostrophe before it.
func CSV(w io.Writer, all []Statement) error {
	c := csv.NewWriter(w)
	head := []string{"guest", "name", "start", "end", "as_of", "in_bytes", "out_bytes", "rate_bps", "rate_in_bps", "rate_out_bps",
		"slots", "missing", "active_s", "charge_micro", "flags"}
	for m := range NumMetrics {
		head = append(head, m.String())
	}
	rows := [][]string{head}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	stamp := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	for _, s := range all {
		row := []string{s.Guest.String(), harmless(s.Name), stamp(s.Period.Start), stamp(s.Period.End), stamp(s.AsOf), number(s.In), number(s.Out),
			number(s.Rate), number(s.RateIn), number(s.RateOut), number(int64(s.Slots)), number(int64(s.Missing)),
			number(int64(s.Active / time.Second)), number(s.Charge), harmless(s.flags())}
		for _, v := range s.Usage {
			row = append(row, number(v))
		}
		rows = append(rows, row)
	}
	return c.WriteAll(rows)
}

// harmless is a text that no spreadsheet calculates.
func harmless(s string) string {
	if trimmed := strings.TrimLeft(s, " \t\r\n"); trimmed != "" && strings.ContainsAny(trimmed[:1], "=+-@|%") || s != "" && strings.ContainsAny(s[:1], "\t\r\n") {
		return "'" + s
	}
	return s
}

// JSON writes statements as an array.
func JSON(w io.Writer, all []Statement) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if all == nil {
		all = []Statement{}
	}
	return e.Encode(all)
}

// WHMCSUsage is one account as a module's UsageUpdate of WHMCS writes it into
// its database, all in whole MB (10^6 bytes) rounded up; 0 as a limit is none.
//
//	->where('domain', $u->domain)->update(['diskusage' => $u->diskusage, ...])
type WHMCSUsage struct {
	Domain    string `json:"domain"`
	DiskUsage int64  `json:"diskusage"`
	DiskLimit int64  `json:"disklimit"`
	BWUsage   int64  `json:"bwusage"`
	BWLimit   int64  `json:"bwlimit"`
}

// WHMCS returns what UsageUpdate wants for a guest: its traffic in the statement,
// the bytes that its volumes have now, and the quota that it has (0: none).
func WHMCS(s Statement, disk, quota int64) WHMCSUsage {
	mega := func(bytes int64) int64 { return (bytes + int64(MB) - 1) / int64(MB) }
	return WHMCSUsage{Domain: s.who(), DiskUsage: mega(disk), DiskLimit: mega(disk), BWUsage: mega(s.In + s.Out), BWLimit: mega(quota)}
}
