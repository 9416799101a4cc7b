package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/xen/dom0"
)

// Options of Read; nil and the zero value are right for a dom0.
type Options struct {
	// Runner runs iptables and nft, which only list; nil is dom0.Local. It must
	// run on this machine: the rest is read from files.
	Runner dom0.Runner
	// Root holds proc and sys; empty is "/".
	Root string
	// Want is what the host is to do, if known.
	Want *network.State
	// Rates: guests are held to a rate by Xen.
	Rates bool
}

// Read looks at the host that it runs on. What a kernel or host does not have
// is left out; tools that are not there too.
func Read(ctx context.Context, opts *Options) (Seen, error) {
	if opts == nil {
		opts = &Options{}
	}
	r := reader{root: opts.Root, run: opts.Runner}
	if r.root == "" {
		r.root = "/"
	}
	if r.run == nil {
		r.run = dom0.Local{}
	}
	s := Seen{Want: opts.Want, Rates: opts.Rates, CPUs: runtime.NumCPU(), Dual: dual(opts.Want)}
	s.Interfaces = r.interfaces()
	s.Sysctls = r.sysctls(s.Interfaces)
	s.LegacyTables = append(r.words("proc/net/ip_tables_names"), r.words("proc/net/ip6_tables_names")...)
	s.Conntrack = r.number("proc/sys/net/netfilter/nf_conntrack_count")
	s.ConntrackMax = r.number("proc/sys/net/netfilter/nf_conntrack_max")
	s.Netback = r.there("sys/module/xen_netback")
	s.NetbackQueues = r.number("sys/module/xen_netback/parameters/max_queues")
	var err error
	if s.Variant, err = r.variant(ctx); err != nil {
		return s, fmt.Errorf("network check: %w", err)
	}
	if s.NFTTables, err = r.nftTables(ctx); err != nil {
		return s, fmt.Errorf("network check: %w", err)
	}
	// iptables-legacy makes the table when it is asked for one.
	if s.Variant == "nf_tables" || len(s.LegacyTables) > 0 {
		s.ForwardPolicy, err = r.forwardPolicy(ctx)
	}
	if err != nil {
		return s, fmt.Errorf("network check: %w", err)
	}
	return s, errors.Join(r.errs...)
}

func dual(want *network.State) bool {
	if want == nil {
		return false
	}
	for _, g := range want.Guests {
		for _, f := range g.Forwards {
			if f.To.Addr().Is6() {
				return true
			}
		}
		for _, p := range g.Ports {
			if p.Routed && slices.ContainsFunc(p.Addresses, netip.Addr.Is6) {
				return true
			}
		}
	}
	return false
}

type reader struct {
	root string
	run  dom0.Runner
	errs []error
}

// text reads a file; one that is not there is empty.
func (r *reader) text(path string) string {
	b, err := os.ReadFile(filepath.Join(r.root, path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.EINVAL) {
		r.errs = append(r.errs, fmt.Errorf("network check: %w", err))
	}
	return strings.TrimSpace(string(b))
}

func (r *reader) words(path string) []string { return strings.Fields(r.text(path)) }

func (r *reader) number(path string) int {
	n, _ := strconv.Atoi(r.text(path)) // what is no number is not known
	return n
}

func (r *reader) there(path string) bool {
	_, err := os.Stat(filepath.Join(r.root, path))
	return err == nil
}

func (r *reader) interfaces() map[string]Interface {
	out := map[string]Interface{}
	list, err := os.ReadDir(filepath.Join(r.root, "sys/class/net"))
	if err != nil {
		r.errs = append(r.errs, fmt.Errorf("network check: %w", err))
	}
	for _, e := range list {
		dir := "sys/class/net/" + e.Name()
		flags, _ := strconv.ParseUint(r.text(dir+"/flags"), 0, 32)
		i := Interface{Up: flags&1 != 0, MTU: r.number(dir + "/mtu"), IsBridge: r.there(dir + "/bridge")}
		if master, err := os.Readlink(filepath.Join(r.root, dir, "master")); err == nil {
			i.Bridge = filepath.Base(master)
		}
		if i.IsBridge {
			i.STP = r.number(dir+"/bridge/stp_state") != 0
			i.ForwardWait = r.number(dir + "/bridge/forward_delay")
		}
		out[e.Name()] = i
	}
	return out
}

func (r *reader) sysctls(interfaces map[string]Interface) map[string]string {
	names := []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv4/conf/all/rp_filter",
		"bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables", "bridge/bridge-nf-call-arptables"}
	for name, i := range interfaces {
		if i.IsBridge {
			names = append(names, "ipv4/conf/"+name+"/rp_filter", "ipv6/conf/"+name+"/accept_ra")
		}
	}
	out := map[string]string{}
	for _, name := range names {
		if value := r.text("proc/sys/net/" + name); value != "" {
			out[strings.ReplaceAll(name, "/", ".")] = value
		}
	}
	return out
}
