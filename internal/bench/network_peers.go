package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	goiptables "github.com/coreos/go-iptables/iptables"
)

// cniModule holds the peers of a later day: plugins for the network of
// containers. portmap makes iptables or nftables rules, bandwidth queues.
const cniModule, cniVersion = "github.com/containernetworking/plugins/plugins/meta/", "@v1.9.1"

// flatRule is a forward in one flat chain.
func flatRule(i int) []string {
	return []string{"-p", "tcp", "-m", "tcp", "--dport", fmt.Sprint(port(i)), "-j", "DNAT", "--to-destination", fmt.Sprintf("%v:80", address(i/10))}
}

// levels are how full a table is when a loop over 10,000 is timed.
func levels() []int { return []int{0, 100, 1000, 2500, 5000, 7500, most} }

// loop times a command a rule: add adds rule i, remove takes it away again.
// Between the levels the table is filled by one iptables-restore.
func (b *bench) loop(ctx context.Context, add, remove func(ns string, i int) error) (timing, error) {
	t := timing{load: map[int]float64{}}
	ns, err := b.namespace(ctx)
	if err != nil {
		return t, err
	}
	if err := b.run(ctx, ns, nil, iptables, "-t", "nat", "-N", "PEER"); err != nil {
		return t, err
	}
	var at []float64 // seconds a rule, at each level
	for k, n := range levels() {
		if k > 0 {
			var fill strings.Builder
			fill.WriteString("*nat\n")
			for i := levels()[k-1]; i < n; i++ {
				fill.WriteString("-A PEER " + strings.Join(flatRule(i), " ") + "\n")
			}
			fill.WriteString("COMMIT\n")
			if err := b.run(ctx, ns, strings.NewReader(fill.String()), iptables+"-restore", "--noflush"); err != nil {
				return t, err
			}
		}
		a, r, cpu, err := addRemove(func() error { return add(ns, most) }, func() error { return remove(ns, most) })
		if err != nil {
			return t, err
		}
		at = append(at, a)
		t.add, t.remove, t.cpu = a, r, cpu
		t.load[n] = integral(at)
	}
	return t, nil
}

// integral is what filling up takes, by the cost of one at each level so far.
func integral(at []float64) float64 {
	sum := 0.0
	for k := 1; k < len(at); k++ {
		sum += float64(levels()[k]-levels()[k-1]) * (at[k] + at[k-1]) / 2
	}
	return sum
}

func (b *bench) iptablesLoop(ctx context.Context) (timing, error) {
	do := func(verb string) func(ns string, i int) error {
		return func(ns string, i int) error {
			return inside(ns, func() error {
				return b.run(ctx, "", nil, append([]string{iptables, "-w", "5", "-t", "nat", verb, "PEER"}, flatRule(i)...)...)
			})
		}
	}
	return b.loop(ctx, do("-A"), do("-D"))
}

func (b *bench) goIPTables(ctx context.Context) (timing, error) {
	path, err := exec.LookPath(iptables)
	if err != nil {
		return timing{}, err
	}
	ipt, err := goiptables.New(goiptables.Path(path), goiptables.Timeout(5))
	if err != nil {
		return timing{}, err
	}
	return b.loop(ctx,
		func(ns string, i int) error {
			return inside(ns, func() error { return ipt.AppendUnique("nat", "PEER", flatRule(i)...) })
		},
		func(ns string, i int) error {
			return inside(ns, func() error { return ipt.Delete("nat", "PEER", flatRule(i)...) })
		})
}

// portmap is the built plugin. It wants a namespace that is the container's.
func (b *bench) portmap(ctx context.Context) (bin string, err error) {
	if b.container == "" {
		if b.container, err = b.namespace(ctx); err != nil {
			return "", err
		}
	}
	return cniPlugin(ctx, "portmap")
}

// cniPlugin builds a plugin, or finds the one that an earlier run has built.
func cniPlugin(ctx context.Context, name string) (bin string, err error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir += "/xenhost-bench"
	bin = dir + "/" + name
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	build := exec.CommandContext(ctx, "go", "install", cniModule+name+cniVersion)
	build.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=-mod=mod")
	build.Dir = "/"
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w", name, errors.Join(errors.ErrUnsupported, err, errors.New(string(out))))
	}
	return bin, nil
}

// cni calls the plugin as a container runtime does, for one container with the
// forwards from first on.
func (b *bench) cni(ctx context.Context, bin, ns, backend, command string, container, first, forwards int) error {
	var mappings []map[string]any
	for i := first; i < first+forwards; i++ {
		mappings = append(mappings, map[string]any{"hostPort": port(i), "containerPort": 80, "protocol": "tcp"})
	}
	config, err := json.Marshal(map[string]any{
		"cniVersion": "1.0.0", "name": "bench", "type": "portmap", "backend": backend,
		"capabilities": map[string]bool{"portMappings": true}, "runtimeConfig": map[string]any{"portMappings": mappings},
		"prevResult": map[string]any{"cniVersion": "1.0.0", "interfaces": []map[string]string{{"name": "eth0", "sandbox": "/run/netns/x"}},
			"ips": []map[string]any{{"address": address(container).String() + "/16", "interface": 0}}},
	})
	if err != nil {
		return err
	}
	return inside(ns, func() error {
		run := exec.CommandContext(ctx, bin)
		run.Env = append(os.Environ(), "CNI_COMMAND="+command, fmt.Sprintf("CNI_CONTAINERID=c%d", container),
			"CNI_NETNS=/run/netns/"+b.container, "CNI_IFNAME=eth0", "CNI_PATH=/")
		run.Stdin = strings.NewReader(string(config))
		out, err := run.CombinedOutput()
		if err != nil {
			return fmt.Errorf("portmap %s: %w: %s", command, err, out)
		}
		return nil
	})
}

// cniIPTables times containers of ten ports at each level. The levels are
// filled with the rules of one container, repeated under other names.
func (b *bench) cniIPTables(ctx context.Context) (timing, error) {
	t := timing{load: map[int]float64{}}
	bin, err := b.portmap(ctx)
	if err != nil {
		return t, err
	}
	ns, err := b.namespace(ctx)
	if err != nil {
		return t, err
	}
	const spare = most/10 + 1
	ten := func(command string) func() error {
		return func() error { return b.cni(ctx, bin, ns, "iptables", command, spare, most, 10) }
	}
	if err := ten("ADD")(); err != nil {
		return t, err
	}
	save, err := b.output(ctx, ns, nil, "iptables-save", "-t", "nat")
	if err != nil {
		return t, err
	}
	if err := ten("DEL")(); err != nil {
		return t, err
	}
	var at []float64
	for k, n := range levels() {
		if k > 0 {
			if err := b.run(ctx, ns, strings.NewReader(multiplied(save, spare, levels()[k-1]/10, n/10)), "iptables-restore", "--noflush"); err != nil {
				return t, err
			}
		}
		a, _, _, err := addRemove(ten("ADD"), ten("DEL"))
		if err != nil {
			return t, err
		}
		at = append(at, a/10)
		t.load[n] = integral(at)
	}
	t.add, t.remove, t.cpu, err = addRemove(
		func() error { return b.cni(ctx, bin, ns, "iptables", "ADD", spare, most, 1) },
		func() error { return b.cni(ctx, bin, ns, "iptables", "DEL", spare, most, 1) })
	return t, err
}

// multiplied are the rules of container spare for containers from to to.
func multiplied(save string, spare, from, to int) string {
	var chains, rules strings.Builder
	for c := from; c < to; c++ {
		renamed := func(line string) string {
			for i := range 10 {
				line = strings.ReplaceAll(line, fmt.Sprint(port(most+i)), fmt.Sprint(port(10*c+i)))
			}
			line = strings.ReplaceAll(line, fmt.Sprintf("c%d", spare), fmt.Sprintf("c%d", c))
			return strings.ReplaceAll(line, address(spare).String(), address(c).String())
		}
		for line := range strings.Lines(save) {
			at := strings.Index(line, "CNI-DN-")
			if at < 0 {
				continue
			}
			name, _, _ := strings.Cut(strings.TrimSpace(line[at:]), " ")
			line = strings.ReplaceAll(line, name, fmt.Sprintf("CNI-DN-%d", c))
			if strings.HasPrefix(line, ":") {
				chains.WriteString(line)
			} else {
				rules.WriteString(renamed(line))
			}
		}
	}
	return "*nat\n" + chains.String() + rules.String() + "COMMIT\n"
}

// cniNFT loads each number as one container, which is how it is fastest.
func (b *bench) cniNFT(ctx context.Context) (timing, error) {
	t := timing{load: map[int]float64{}}
	bin, err := b.portmap(ctx)
	if err != nil {
		return t, err
	}
	for _, n := range []int{100, 1000, most} {
		ns, err := b.namespace(ctx)
		if err != nil {
			return t, err
		}
		if t.load[n], err = seconds(func() error { return b.cni(ctx, bin, ns, "nftables", "ADD", 0, 0, n) }); err != nil {
			return t, err
		}
		if n == most {
			t.add, t.remove, t.cpu, err = addRemove(
				func() error { return b.cni(ctx, bin, ns, "nftables", "ADD", 1, most, 1) },
				func() error { return b.cni(ctx, bin, ns, "nftables", "DEL", 1, most, 1) })
			if err != nil {
				return t, err
			}
		}
	}
	return t, nil
}
