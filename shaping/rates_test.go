package shaping_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/shaping"
)

// within checks a rate: at most 1 % too fast, 5 % too slow.
func within(t *testing.T, name string, got float64, limit shaping.Rate) {
	t.Helper()
	t.Logf("%s %.1f %% of %v", name, got/float64(limit)*100, limit)
	assert.LessOrEqual(t, got, float64(limit)*1.01, name)
	assert.GreaterOrEqual(t, got, float64(limit)*0.95, name)
}

func upload(i int) func([]shaping.Counter) shaping.Flow {
	return func(c []shaping.Counter) shaping.Flow { return c[i].Upload }
}

func download(i int) func([]shaping.Counter) shaping.Flow {
	return func(c []shaping.Counter) shaping.Flow { return c[i].Download }
}

// TestRates: guest 0 uploads and guest 1 downloads, and each gets its rate on
// the wire. At 1 Gbit/s the machine may be slower than the limit, so that is
// shown only.
func TestRates(t *testing.T) {
	needNamespaces(t)
	s := newStreet(t)
	for _, rate := range []shaping.Rate{10 * shaping.Mbit, 100 * shaping.Mbit, shaping.Gbit} {
		s.apply(t, 10*shaping.Gbit, shaping.Policy{Upload: rate}, shaping.Policy{Download: rate})
		for _, flows := range []int{1, 8} {
			t.Run(fmt.Sprintf("%v, TCP, %d flows", rate, flows), func(t *testing.T) {
				up := tcp(t, s.guests[0], s.world, "10.9.1.1", flows)
				down := tcp(t, s.world, s.guests[1], "10.9.0.2", flows)
				s.check(t, rate)
				t.Logf("retransmits: upload %d, download %d", up.retransmits(t), down.retransmits(t))
			})
			t.Run(fmt.Sprintf("%v, UDP, %d flows", rate, flows), func(t *testing.T) {
				udp(t, s.guests[0], s.world, "10.9.1.1", flows, rate)
				udp(t, s.world, s.guests[1], "10.9.0.2", flows, rate)
				s.check(t, rate)
			})
		}
	}
}

func (s *street) check(t *testing.T, rate shaping.Rate) {
	t.Helper()
	time.Sleep(500 * time.Millisecond)
	if rate == shaping.Gbit {
		before := s.read(t)
		time.Sleep(time.Second)
		after := s.read(t)
		share := func(a, b shaping.Flow) float64 {
			return float64(b.Bytes-a.Bytes) * 800 / after.at.Sub(before.at).Seconds() / float64(rate)
		}
		t.Logf("upload %.1f %%, download %.1f %% of %v", share(before.counters[0].Upload, after.counters[0].Upload),
			share(before.counters[1].Download, after.counters[1].Download), rate)
		return
	}
	rates := s.measure(t, rate, largest, flows{upload(0)}, flows{download(1)})
	within(t, "upload", rates[0][0], rate)
	within(t, "download", rates[1][0], rate)
}

// TestBurst: a guest that was silent has its credit, and then its rate.
func TestBurst(t *testing.T) {
	needNamespaces(t)
	s := newStreet(t)
	s.apply(t, shaping.Gbit, shaping.Policy{Send: 2 * shaping.Mbit, Burst: 2 << 20})
	send := func(size int) time.Duration {
		begin := time.Now()
		s.send(t, s.guests[0], size)
		return time.Since(begin)
	}
	quick, slow := send(1<<20), send(2<<20)
	t.Logf("1 MiB of credit in %v, another and a MiB at 2 Mbit/s in %v", quick, slow)
	assert.Less(t, quick, 4*time.Second, "at its rate it would take longer")
	assert.Greater(t, slow, 4*time.Second)
}

// TestSend: what a guest sends to another one on the same host is held to Send,
// and what it sends to the world too, with Upload above it. Connections survive
// a change, and the end of it.
func TestSend(t *testing.T) {
	needNamespaces(t)
	s := newStreet(t)
	at := func(r shaping.Rate) shaping.Policy { return shaping.Policy{Send: r, Upload: 50 * shaping.Mbit} }
	s.apply(t, 10*shaping.Gbit, at(20*shaping.Mbit), at(20*shaping.Mbit), shaping.Policy{})
	inside := tcp(t, s.guests[0], s.guests[2], "10.9.0.3", 2)
	outside := tcp(t, s.guests[1], s.world, "10.9.1.1", 2)
	sends := func(i int) func([]shaping.Counter) shaping.Flow {
		return func(c []shaping.Counter) shaping.Flow { return c[i].Send }
	}
	for _, rate := range []shaping.Rate{20 * shaping.Mbit, 40 * shaping.Mbit} {
		for i := range 2 {
			require.NoError(t, s.manager.Set(t.Context(), s.guest(i, at(rate))))
		}
		time.Sleep(500 * time.Millisecond)
		rates := s.measure(t, rate, largest, flows{sends(0)}, flows{sends(1)})
		within(t, "to a guest", rates[0][0], rate)
		within(t, "to the world", rates[1][0], rate)
	}
	require.NoError(t, s.manager.Set(t.Context(), s.guest(0, shaping.Policy{})))
	require.NoError(t, s.manager.Remove(t.Context(), s.guest(1, shaping.Policy{}).UUID))
	time.Sleep(500 * time.Millisecond)
	inside.alive(t)
	outside.alive(t)
	assert.NotContains(t, s.host.run(t, "", "ip", "link"), "xs", "nothing stays behind")
	assert.NotContains(t, s.host.run(t, "", "tc", "qdisc", "show"), "ingress")

	s.host.run(t, "", "tc", "qdisc", "add", "dev", "g1", "clsact")
	require.ErrorIs(t, s.manager.Set(t.Context(), s.guest(1, at(shaping.Mbit))), shaping.ErrForeign)
	assert.NotContains(t, s.host.run(t, "", "ip", "link"), "xs")
	s.host.run(t, "", "tc", "qdisc", "add", "dev", "g2", "ingress")
	s.host.run(t, "", "tc", "filter", "add", "dev", "g2", "ingress", "pref", "1", "protocol", "arp", "u32", "match", "u32", "0", "0")
	require.NoError(t, s.manager.Set(t.Context(), s.guest(2, at(shaping.Mbit))))
	require.NoError(t, s.manager.Set(t.Context(), s.guest(2, shaping.Policy{})))
	assert.Contains(t, s.host.run(t, "", "tc", "filter", "show", "dev", "g2", "ingress"), "pref 1 ", "another's filter stays")
}

// TestWeights: what nobody was promised is shared by weight, and dom0 keeps its
// part while all guests want more than there is.
func TestWeights(t *testing.T) {
	needNamespaces(t)
	s := newStreet(t)
	policy := func(weight int) shaping.Policy {
		return shaping.Policy{Upload: 128 * shaping.Kbit, Ceil: 100 * shaping.Mbit, Weight: weight}
	}
	s.apply(t, 70*shaping.Mbit, policy(1), policy(2), policy(4))
	for _, g := range s.guests {
		tcp(t, g, s.world, "10.9.1.1", 2)
	}
	time.Sleep(time.Second)
	const round = (1 + 2 + 4) * 72 << 10 // in which each has its turn
	got := s.measure(t, 70*shaping.Mbit, round, flows{upload(0), upload(1), upload(2)})[0]
	sum := got[0] + got[1] + got[2]
	within(t, "the whole line", sum, 70*shaping.Mbit)
	for i, weight := range []float64{1, 2, 4} {
		t.Logf("guest %d: %.1f %%, wanted %.1f %%", i, got[i]/sum*100, weight/7*100)
		assert.InEpsilon(t, weight/7, got[i]/sum, 0.05, "guest %d", i)
	}

	udp(t, s.host, s.world, "10.9.1.1", 1, 7*shaping.Mbit)
	time.Sleep(500 * time.Millisecond)
	before := s.line(t)
	time.Sleep(2 * time.Second)
	after := s.line(t)
	dom0 := float64(after.bytes-before.bytes) * 8 / after.at.Sub(before.at).Seconds()
	t.Logf("dom0 %.1f Mbit/s of 7 promised", dom0/1e6)
	assert.GreaterOrEqual(t, dom0, 7e6*0.95, "dom0's part")
}

// TestLiveChange: while data flows, rates go up, down, and under a throttle;
// each is in force within a second, no connection breaks, no counter starts
// again.
func TestLiveChange(t *testing.T) {
	needNamespaces(t)
	s := newStreet(t)
	at := func(r shaping.Rate) shaping.Policy { return shaping.Policy{Upload: r, Download: r} }
	s.apply(t, 10*shaping.Gbit, at(10*shaping.Mbit), at(10*shaping.Mbit))
	up := tcp(t, s.guests[0], s.world, "10.9.1.1", 4)
	down := tcp(t, s.world, s.guests[1], "10.9.0.2", 4)
	before := s.read(t)
	for _, step := range []struct{ rate, throttle, want shaping.Rate }{
		{40 * shaping.Mbit, 0, 40 * shaping.Mbit},
		{15 * shaping.Mbit, 0, 15 * shaping.Mbit},
		{15 * shaping.Mbit, 8 * shaping.Mbit, 8 * shaping.Mbit},
		{30 * shaping.Mbit, 0, 30 * shaping.Mbit},
	} {
		for i := range 2 {
			g := s.guest(i, at(step.rate))
			g.Throttle.Rate = step.throttle
			require.NoError(t, s.manager.Set(t.Context(), g))
		}
		time.Sleep(time.Second)
		rates := s.measure(t, step.want, largest, flows{upload(0)}, flows{download(1)})
		for i, name := range []string{"upload", "download"} {
			within(t, name, rates[i][0], step.want)
		}
	}
	after := s.read(t)
	assert.Greater(t, after.counters[0].Upload.Bytes, before.counters[0].Upload.Bytes)
	assert.Greater(t, after.counters[1].Download.Bytes, before.counters[1].Download.Bytes)
	up.alive(t)
	down.alive(t)
}
