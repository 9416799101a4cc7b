package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// shapeCNI limits containers by the plugin bandwidth: a bucket on each vif, and
// one on an ifb for what it sends. It knows no change: a second ADD is refused.
func (b *bench) shapeCNI(ctx context.Context) (first time.Duration, err error) {
	bin, err := cniPlugin(ctx, "bandwidth")
	if err != nil {
		return 0, err
	}
	ns, err := b.street(ctx)
	if err != nil {
		return 0, err
	}
	containers, err := b.namespace(ctx)
	if err != nil {
		return 0, err
	}
	var links strings.Builder // some of the vifs have a container at their other end
	for i := range sampled {
		fmt.Fprintf(&links, "link del vif%d.0\nlink add vif%d.0 type veth peer name c%d netns %s\nlink set vif%d.0 up\n", i, i, i, containers, i)
	}
	if err := within(ctx, links.String(), "ip", "-n", ns, "-batch", "-"); err != nil {
		return 0, err
	}
	add := func(i int) error {
		config, err := json.Marshal(map[string]any{
			"cniVersion": "1.0.0", "name": "bench", "type": "bandwidth",
			"ingressRate": 100_000_000, "ingressBurst": 72 << 13, "egressRate": 5_000_000, "egressBurst": 72 << 13,
			"prevResult": map[string]any{"cniVersion": "1.0.0", "interfaces": []map[string]string{{"name": fmt.Sprintf("vif%d.0", i)}}},
		})
		if err != nil {
			return err
		}
		run := exec.CommandContext(ctx, bin)
		run.Env = append(os.Environ(), "CNI_COMMAND=ADD", fmt.Sprintf("CNI_CONTAINERID=c%d", i),
			"CNI_NETNS=/run/netns/"+containers, fmt.Sprintf("CNI_IFNAME=c%d", i), "CNI_PATH=/")
		run.Stdin = strings.NewReader(string(config))
		if out, err := run.CombinedOutput(); err != nil {
			return fmt.Errorf("bandwidth: %w: %s", err, out)
		}
		return nil
	}
	took, err := timed(func() error {
		return inside(ns, func() error {
			for i := range sampled {
				if err := add(i); err != nil {
					return err
				}
			}
			return nil
		})
	})
	return took * shaped / sampled, err
}
