// Provision makes a guest on this host: a volume from an image, a domain, a
// port on a bridge, and forwards from the host's own addresses.
//
//	provision web1 --memory 128M --disk guests/web1:4G --image golden.img \
//	    --kernel /boot/vmlinuz --bridge xenint --ip 192.168.0.10 \
//	    --forward tcp:8080:192.168.0.10:80
//	provision web2 --disk guests/web2:8G --image debian12.qcow2 --format qcow2 --sha256 9c1f... \
//	    --kernel /boot/vmlinuz --bridge xenint --hostname web2 --ssh-key id_ed25519.pub
package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
)

func main() {
	var (
		flags                 cli.Flags
		g                     = host.Guest{UUID: uuid.New()}
		memory                = cli.Size(128 << 20)
		forwards              cli.Forward
		disk, kind            string
		m                     media
		bridge, mac, ip, back string
		uplink                string
		networks, shared      []string
		neverLive             bool
		routed                bool
		dryRun, stopped       bool
	)
	c := &cobra.Command{Use: "provision NAME", Short: "make a guest on this host", Args: cobra.ExactArgs(1)}
	flags.Add(c)
	f := c.Flags()
	f.Var(&memory, "memory", "memory of the guest")
	f.IntVar(&g.VCPUs, "vcpus", 1, "virtual CPUs")
	f.StringVar(&kind, "type", string(xen.PVH), "pvh or pv")
	f.StringVar(&g.Kernel, "kernel", "", "kernel in dom0")
	f.StringVar(&g.Ramdisk, "ramdisk", "", "ramdisk in dom0")
	f.StringVar(&g.Cmdline, "cmdline", "", "kernel arguments")
	f.StringVar(&g.TSCMode, "tsc-mode", "", "native on an emulated CPU")
	f.StringVar(&disk, "disk", "", "volume as group/name:size")
	m.flags(f)
	f.StringArrayVar(&shared, "shared", nil, "disk that other hosts see too, as xvda,size,/dev/path; may be repeated")
	f.BoolVar(&neverLive, "never-live", false, "it is moved powered off, and boots there")
	f.StringVar(&g.System, "system", "", "what it runs, as linux 4.19.17")
	f.StringVar(&bridge, "bridge", "", "bridge for its interface")
	f.BoolVar(&routed, "routed", false, "no bridge: this host is its router")
	f.StringVar(&uplink, "uplink", "", "interface on whose network this host answers for a routed guest's address")
	f.StringArrayVar(&networks, "network", nil, "network that leads to a routed guest; may be repeated")
	f.StringVar(&mac, "mac", "", "MAC address; empty is a random one of Xen's range")
	f.StringVar(&ip, "ip", "", "the guest's addresses, with commas between")
	f.Var(&forwards, "forward", "port of this host to the guest; may be repeated")
	f.StringVar(&back, "return", "", "way of the answers: empty for the gateway, or ingress")
	f.BoolVar(&dryRun, "dry-run", false, "print the definition and change nothing")
	f.BoolVar(&stopped, "stopped", false, "do not start it")
	c.RunE = func(c *cobra.Command, args []string) (err error) {
		g.Name, g.Memory, g.Type, g.Forwards = args[0], int64(memory), xen.Type(kind), forwards
		for i := range g.Forwards {
			g.Forwards[i].Return = network.Return(back)
		}
		if g.Disks, g.Shared, err = disks(disk, shared); err != nil {
			return err
		}
		if m.path != "" && len(g.Disks) == 0 {
			return cli.Usage("--image needs --disk")
		}
		if neverLive {
			g.Moves = host.NeverLive
		}
		if g.Nics, err = nics(bridge, mac, ip, routed); err != nil {
			return err
		}
		if len(g.Nics) > 0 {
			g.Nics[0].Uplink = uplink
			for _, text := range networks {
				n, err := netip.ParsePrefix(text)
				if err != nil {
					return cli.UsageError{Err: err}
				}
				g.Nics[0].Networks = append(g.Nics[0].Networks, n)
			}
		}
		if err := g.Validate(); err != nil {
			return cli.UsageError{Err: err}
		}
		if dryRun {
			flags.JSON = true
			return flags.Print(c.OutOrStdout(), g, nil)
		}
		h, err := flags.Open()
		if err != nil {
			return err
		}
		opts := &host.ProvisionOptions{Stopped: stopped}
		if err := m.open(c.Context(), &g, opts); err != nil {
			return err
		}
		defer m.close()
		made, err := h.Provision(c.Context(), g, opts)
		if err != nil {
			return err
		}
		return flags.Print(c.OutOrStdout(), made, func(w io.Writer) {
			for _, d := range made.Disks {
				fmt.Fprintf(w, "%s\t%s\t%s\n", made.Name, made.UUID, cli.Bytes(d.Size))
			}
			for _, d := range made.Shared {
				fmt.Fprintf(w, "%s\t%s\t%s, shared\n", made.Name, made.UUID, cli.Bytes(d.Size))
			}
		})
	}
	cli.Main(c, nil)
}

// disks reads group/name:size, and disks that are shared as xvdb,size,/dev/path.
func disks(text string, texts []string) (own []host.Disk, shared []host.SharedDisk, err error) {
	for _, t := range texts {
		parts := strings.SplitN(t, ",", 3)
		var s cli.Size
		if len(parts) < 3 || s.Set(parts[1]) != nil {
			return nil, nil, cli.Usage("--shared %q is not xvda,size,/dev/path", t)
		}
		shared = append(shared, host.SharedDisk{Dev: parts[0], Size: int64(s), Path: parts[2]})
	}
	if text == "" && len(shared) > 0 {
		return nil, shared, nil
	}
	volume, size, _ := strings.Cut(text, ":")
	group, name, _ := strings.Cut(volume, "/")
	var s cli.Size
	if err := s.Set(size); err != nil || group == "" || name == "" {
		return nil, nil, cli.Usage("--disk %q is not group/name:size", text)
	}
	return []host.Disk{{Dev: "xvda", Volume: lvm.ID{Group: group, Name: name}, Size: int64(s)}}, shared, nil
}

// nics makes the guest's interface, if it has one.
func nics(bridge, mac, ip string, routed bool) ([]host.Nic, error) {
	if bridge == "" && !routed {
		return nil, nil
	}
	n := host.Nic{Bridge: bridge, MAC: xen.MAC{0x00, 0x16, 0x3e}, Routed: routed}
	var err error
	if mac != "" {
		if n.MAC, err = xen.ParseMAC(mac); err != nil {
			return nil, cli.UsageError{Err: err}
		}
	} else if _, err = rand.Read(n.MAC[3:]); err != nil {
		return nil, err
	}
	for one := range strings.SplitSeq(ip, ",") {
		if one == "" {
			continue
		}
		a, err := netip.ParseAddr(one)
		if err != nil {
			return nil, cli.UsageError{Err: err}
		}
		n.Addresses = append(n.Addresses, a)
	}
	return []host.Nic{n}, nil
}
