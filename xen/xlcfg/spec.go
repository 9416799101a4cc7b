package xlcfg

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
)

// Spec makes a spec of what the file says. unknown names the keys that a Spec
// has no place for, so that the caller can decide whether the domain is the
// same without them. Keys that run programs in dom0 or hand out its hardware
// are refused with xen.ErrInvalid, as are values that can not be read.
//
// The spec is as the file has it: give it a UUID if it has none, and call
// Validate before it is used.
func (c Config) Spec() (spec xen.Spec, unknown []string, err error) {
	r := &reader{config: c}
	for _, key := range c.Keys() {
		if why := refused(key); why != "" && !(key == "serial" && r.same(key, "pty")) {
			r.refuse(key, why)
		}
	}
	spec = xen.Spec{
		Name: r.text("name"), UUID: r.uuid("uuid"), Type: xen.Type(orElse(r.text("type"), "pv")),
		Memory: r.number("memory") << 20, VCPUs: int(max(r.number("vcpus"), 1)),
		Kernel: r.text("kernel"), Ramdisk: r.text("ramdisk"), Cmdline: r.cmdline(),
		TSCMode: r.text("tsc_mode"), OnReboot: r.text("on_reboot"), OnCrash: r.text("on_crash"),
		MaxMemory: r.number("maxmem") << 20, MaxVCPUs: int(r.number("maxvcpus")),
		Weight: int(r.number("cpu_weight")), Cap: int(r.number("cap")),
		Boot: r.text("boot"), VNC: r.number("vnc") != 0,
	}
	if v, ok := c.Get("cpuid"); !ok || v.IsList { // the other form, "host,avx=0", has names that differ between releases
		spec.CPUID = r.list("cpuid")
	}
	for i, item := range r.list("disk") {
		d, err := parseDisk(item)
		r.failed(fmt.Sprintf("disk[%d]", i), err)
		spec.Disks = append(spec.Disks, d)
	}
	for i, item := range r.list("vif") {
		v, err := parseVif(item)
		r.failed(fmt.Sprintf("vif[%d]", i), err)
		spec.Vifs = append(spec.Vifs, v)
	}
	r.same("vnclisten", loopback)
	r.same("on_poweroff", "destroy")
	r.same("on_watchdog", "destroy")
	r.same("on_soft_reset", "destroy")
	if len(r.errs) > 0 {
		return xen.Spec{}, nil, errors.Join(r.errs...)
	}
	for _, key := range c.Keys() {
		if !slices.Contains(r.used, key) {
			unknown = append(unknown, key)
		}
	}
	return spec, unknown, nil
}

// reader takes values out of a Config and remembers which.
type reader struct {
	config Config
	used   []string
	errs   []error
}

func (r *reader) refuse(key, why string) {
	r.errs = append(r.errs, fmt.Errorf("xlcfg: %s: %s: %w", key, why, xen.ErrInvalid))
}

func (r *reader) failed(what string, err error) {
	if err != nil {
		r.refuse(what, err.Error())
	}
}

func (r *reader) get(key string, list bool) Value {
	v, ok := r.config.Get(key)
	r.used = append(r.used, key)
	if ok && v.IsList != list {
		r.refuse(key, "is a list where a single value belongs, or the reverse")
	}
	return v
}

func (r *reader) text(key string) string { return r.get(key, false).Text }

// number reads as strtol does with base 0: 0x is hexadecimal and a leading 0
// is octal.
func (r *reader) number(key string) int64 {
	s := r.text(key)
	if s == "" {
		return 0
	}
	n, err := strconv.ParseInt(s, 0, 40)
	goOnly := strings.Contains(s, "_") || len(s) > 1 && strings.ContainsRune("bBoO", rune(s[1]))
	if err != nil || n < 0 || goOnly {
		r.refuse(key, fmt.Sprintf("%q is not a number", s))
		return 0
	}
	return n
}

func (r *reader) uuid(key string) uuid.UUID {
	s := r.text(key)
	if s == "" {
		return uuid.Nil
	}
	id, err := uuid.Parse(s)
	r.failed(key, err)
	return id
}

// cmdline is the key of that name or, without it, root and extra.
func (r *reader) cmdline() string {
	if _, ok := r.config.Get("cmdline"); ok {
		return r.text("cmdline")
	}
	root, extra := r.text("root"), r.text("extra")
	if root != "" {
		root = "root=" + root
	}
	return strings.TrimSpace(root + " " + extra)
}

func (r *reader) list(key string) []string {
	var items []string
	for _, v := range r.get(key, true).List {
		if v.IsList {
			r.refuse(key, "has a list in it")
		}
		items = append(items, v.Text)
	}
	return items
}

// same counts key as understood if it says what a Spec means anyway.
func (r *reader) same(key, value string) bool {
	v, ok := r.config.Get(key)
	if !ok || v.IsList || v.Text != value {
		return false
	}
	r.used = append(r.used, key)
	return true
}
