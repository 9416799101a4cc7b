package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/xenhost/xenhost/network"
)

// A world is a client, a host and a machine behind it that has the addresses
// of all guests.
type world struct {
	client, host, guest string
	manager             *network.Linux
}

const hostAddress = "203.0.113.1"

func (b *bench) world(ctx context.Context, firewall string) (w world, err error) {
	for _, name := range []*string{&w.client, &w.guest} {
		if *name, err = b.namespace(ctx); err != nil {
			return w, err
		}
	}
	m, err := b.manager(ctx, firewall)
	if err != nil {
		return w, err
	}
	w.manager, w.host = m(), b.last()
	// The guests are behind one address, so that the host need not ask for each.
	for _, step := range [][2]string{
		{w.host, "link set lo up\nlink add xenint type bridge\nlink add eth0 type veth peer name eth0 netns " + w.client +
			"\naddress add " + hostAddress + "/24 dev eth0\nlink set eth0 up\nlink add eth1 type veth peer name eth0 netns " + w.guest +
			"\nlink set eth1 master xenint up\nlink set xenint up\n" +
			"address add 10.1.255.254/16 dev xenint\nroute add 10.1.0.0/17 via 10.1.255.253\n"},
		{w.client, "address add 203.0.113.2/24 dev eth0\nlink set eth0 up\n"},
		{w.guest, "link set lo up\naddress add 10.1.255.253/16 dev eth0\nlink set eth0 up\n" +
			"route add local 10.1.0.0/17 dev lo\nroute add default via 10.1.255.254\n"},
	} {
		if err := b.run(ctx, step[0], strings.NewReader(step[1]), "ip", "-batch", "-"); err != nil {
			return w, err
		}
	}
	return w, nil
}

// load puts n forwards on the host, which has its address on the bridge.
func (w world) load(ctx context.Context, n int, shift uint16) error {
	all := guests(n)
	for i := range all {
		for j := range all[i].Forwards {
			f := &all[i].Forwards[j]
			f.Proto, f.To = network.UDP, netip.AddrPortFrom(f.To.Addr(), 80+shift)
			if shift > 0 {
				f.Proto = network.TCP
			}
		}
	}
	_, err := w.manager.Apply(ctx, hostOf(all))
	return err
}

// flows compares what the first packet of a new flow costs with 10,000 forwards
// and with 100: the time that sending takes, since on one machine the sender
// carries its packet through the host to the guest. The two take turns.
func (b *bench) flows(ctx context.Context) error {
	for _, firewall := range []string{iptables, network.IPTablesLegacy, network.NFT} {
		worlds, cost := map[int]world{}, map[int][]float64{}
		for _, n := range []int{100, most} {
			w, err := b.world(ctx, firewall)
			if err != nil {
				return err
			}
			if err := w.load(ctx, n, 0); err != nil {
				return err
			}
			worlds[n] = w
		}
		for round := range 6 {
			for n, w := range worlds {
				spent, err := b.send(ctx, w, n)
				if err != nil {
					return err
				}
				if round > 0 { // the first only warms up: neighbours are found
					cost[n] = append(cost[n], spent...)
				}
			}
		}
		for _, all := range cost {
			slices.Sort(all)
		}
		b.row(fmt.Sprintf("first packet of a flow, %d forwards by %s, µs", most, firewall), "100 forwards",
			cost[most][len(cost[most])/2], cost[100][len(cost[100])/2], 1/1.5)
	}
	return nil
}

// send sends 10,000 packets, each of which is a new flow, and returns the
// microseconds of one in each hundred. All must arrive.
func (b *bench) send(ctx context.Context, w world, n int) (spent []float64, err error) {
	var sink *net.UDPConn
	err = inside(w.guest, func() (err error) { // takes them in, and answers nothing
		sink, err = net.ListenUDP("udp4", &net.UDPAddr{Port: 80})
		return err
	})
	if err != nil {
		return nil, err
	}
	defer sink.Close()
	before, err := b.received(ctx, w.guest)
	if err != nil {
		return nil, err
	}
	err = inside(w.client, func() error {
		for range most / n {
			c, err := net.ListenUDP("udp4", nil)
			if err != nil {
				return err
			}
			for first := 0; first < n && err == nil; first += 100 {
				start := time.Now()
				for i := first; i < first+100 && err == nil; i++ {
					_, err = c.WriteToUDPAddrPort([]byte("x"), netip.AddrPortFrom(netip.MustParseAddr(hostAddress), port(i)))
				}
				spent = append(spent, float64(time.Since(start).Nanoseconds())/100/1000)
			}
			if err = errors.Join(err, c.Close()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	time.Sleep(50 * time.Millisecond) // those that waited for a neighbour
	after, err := b.received(ctx, w.guest)
	if err == nil && after-before < most {
		err = fmt.Errorf("%d packets sent, %d arrived", most, after-before)
	}
	return spent, err
}

// received counts the packets that the machine of the guests got.
func (b *bench) received(ctx context.Context, ns string) (int, error) {
	text, err := b.output(ctx, ns, nil, "ip", "-json", "-stats", "link", "show", "dev", "eth0")
	if err != nil {
		return 0, err
	}
	var links []struct {
		Stats64 struct{ RX struct{ Packets int } }
	}
	if err := json.Unmarshal([]byte(text), &links); err != nil || len(links) != 1 {
		return 0, fmt.Errorf("ip -stats: %w", err)
	}
	return links[0].Stats64.RX.Packets, nil
}

// swap counts the connections that can not be made while all 10,000 forwards
// get another target: by Apply, and by flushing and loading anew.
func (b *bench) swap(ctx context.Context) error {
	for _, firewall := range []string{iptables, network.NFT} {
		w, err := b.world(ctx, firewall)
		if err != nil {
			return err
		}
		if err := w.load(ctx, most, 1); err != nil {
			return err
		}
		ours, made, err := w.lost(func() error { return w.load(ctx, most, 2) })
		if err != nil {
			return err
		}
		peer, _, err := w.lost(func() error { return b.reload(ctx, w, firewall) })
		if err != nil {
			return err
		}
		// Not a cost: the ratio is 1 if none was lost.
		r := Row{Scenario: "network", Metric: fmt.Sprintf("connections lost of %d while all %d change by %s", made, most, firewall),
			Ours: float64(ours), Peer: float64(peer), PeerName: "flush, then load the same", Target: 1, OK: ours == 0}
		if r.OK {
			r.Ratio = 1
		}
		b.rows = append(b.rows, r)
	}
	return nil
}

// reload is what a script does: take all away, then load the same again.
func (b *bench) reload(ctx context.Context, w world, firewall string) error {
	save, flush, restore := []string{"iptables-nft-save", "-t", "nat"}, []string{iptables, "-t", "nat", "-F"}, []string{"iptables-nft-restore"}
	if firewall == network.NFT {
		save, flush, restore = []string{"nft", "list", "ruleset"}, []string{"nft", "flush", "ruleset"}, []string{"nft", "-f", "-"}
	}
	text, err := b.output(ctx, w.host, nil, save...)
	if err == nil {
		err = b.run(ctx, w.host, nil, flush...)
	}
	if err == nil {
		err = b.run(ctx, w.host, strings.NewReader(text), restore...)
	}
	return err
}

// lost connects to one forward after the other while change runs, and a moment
// before and after.
func (w world) lost(change func() error) (lost, made int, err error) {
	var listeners []net.Listener
	err = inside(w.guest, func() error {
		for _, port := range []int{81, 82} {
			l, err := net.Listen("tcp4", fmt.Sprintf(":%d", port))
			if err != nil {
				return err
			}
			listeners = append(listeners, l)
			go func() {
				for c, err := l.Accept(); err == nil; c, err = l.Accept() {
					_ = c.Close()
				}
			}()
		}
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	defer func() {
		for _, l := range listeners {
			_ = l.Close()
		}
	}()
	stop := make(chan struct{})
	var wait sync.WaitGroup
	var failed error
	wait.Go(func() {
		failed = inside(w.client, func() error {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return nil
				default:
				}
				made++
				c, err := net.DialTimeout("tcp4", fmt.Sprintf("%s:%d", hostAddress, port(i*7919%most)), 5*time.Second)
				if err != nil {
					lost++
					continue
				}
				_ = c.Close()
			}
		})
	})
	time.Sleep(200 * time.Millisecond)
	err = change()
	time.Sleep(200 * time.Millisecond)
	close(stop)
	wait.Wait()
	if err == nil {
		err = failed
	}
	return lost, made, err
}
