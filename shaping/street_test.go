package shaping_test

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/shaping"
)

// street is a host with three guests, bridged to the world through eth0:
//
//	guest n: 10.9.0.n --- gn [bridge xenbr0] eth0 --- world: 10.9.1.1
type street struct {
	host, world space
	guests      [3]space
	manager     *shaping.Linux
}

func newStreet(t *testing.T) *street {
	s := &street{host: newSpace(t), world: newSpace(t)}
	s.host.ip(t,
		"link add xenbr0 type bridge", "link set xenbr0 up", "address add 10.9.2.1/16 dev xenbr0",
		"link add eth0 type veth peer name w0 netns "+s.world.name, "link set eth0 master xenbr0 up")
	s.world.ip(t, "address add 10.9.1.1/16 dev w0", "link set w0 up")
	for i := range s.guests {
		s.guests[i] = newSpace(t)
		s.host.ip(t, fmt.Sprintf("link add g%d type veth peer name eth0 netns %s", i, s.guests[i].name), fmt.Sprintf("link set g%d master xenbr0 up", i))
		s.guests[i].ip(t, fmt.Sprintf("address add 10.9.0.%d/16 dev eth0", i+1), "link set eth0 up")
	}
	s.manager = shaping.New(&shaping.Options{NetNS: s.host.path(), LockDir: t.TempDir()})
	return s
}

func (s *street) guest(i int, p shaping.Policy) shaping.Guest {
	return shaping.Guest{UUID: uuid.UUID{15: byte(i + 1)}, Vifs: []string{fmt.Sprintf("g%d", i)}, Policy: p}
}

// apply limits the line and the guests, in order.
func (s *street) apply(t *testing.T, line shaping.Rate, policies ...shaping.Policy) {
	t.Helper()
	want := shaping.State{Uplink: shaping.Uplink{Dev: "eth0", Rate: line}}
	for i, p := range policies {
		want.Guests = append(want.Guests, s.guest(i, p))
	}
	_, err := s.manager.Apply(t.Context(), want)
	require.NoError(t, err)
}

// A reading is the counters at a moment.
type reading struct {
	at       time.Time
	counters []shaping.Counter
}

// read reads the counters; one that took so long that its time is not known is
// read again.
func (s *street) read(t *testing.T) reading {
	t.Helper()
	for {
		before := time.Now()
		c, err := s.manager.Counters(t.Context())
		require.NoError(t, err)
		if took := time.Since(before); took < 5*time.Millisecond {
			return reading{before.Add(took / 2), c}
		}
	}
}

// stream sends as fast as it can, over so many connections, until the test
// ends.
type stream struct {
	conns  []net.Conn
	broken atomic.Int32 // connections that ended though nobody closed them
	closed atomic.Bool
}

// tcp streams from one namespace to an address in another.
func tcp(t *testing.T, from, to space, addr string, flows int) *stream {
	t.Helper()
	var l net.Listener
	to.inside(t, func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort(addr, "0"))
		return err
	})
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go drain(c)
		}
	}()
	s := &stream{}
	for range flows {
		s.dial(t, from, "tcp", l.Addr().String())
	}
	for _, c := range s.conns {
		go func() {
			piece := make([]byte, 64<<10)
			for {
				if _, err := c.Write(piece); err != nil {
					if !s.closed.Load() {
						s.broken.Add(1)
					}
					return
				}
			}
		}()
	}
	return s
}

// udp streams packets that fill a frame at a quarter more than a rate.
func udp(t *testing.T, from, to space, addr string, flows int, rate shaping.Rate) *stream {
	t.Helper()
	var l net.PacketConn
	to.inside(t, func() (err error) {
		l, err = net.ListenPacket("udp", net.JoinHostPort(addr, "0"))
		return err
	})
	t.Cleanup(func() { l.Close() })
	s := &stream{}
	for range flows {
		s.dial(t, from, "udp", l.LocalAddr().String())
	}
	go func() {
		packet := make([]byte, 1472)
		start, sent := time.Now(), 0
		for {
			due := int(time.Since(start).Seconds() * float64(rate) * 1.25 / 8 / 1514)
			sent = max(sent, due-1000) // what could not be sent in time is not made up for
			for ; sent < due; sent++ {
				if _, err := s.conns[sent%flows].Write(packet); err != nil {
					return
				}
			}
			time.Sleep(time.Millisecond)
		}
	}()
	return s
}

func (s *stream) dial(t *testing.T, from space, proto, addr string) {
	t.Helper()
	var c net.Conn
	from.inside(t, func() (err error) {
		c, err = net.DialTimeout(proto, addr, 10*time.Second)
		return err
	})
	s.conns = append(s.conns, c)
	t.Cleanup(func() {
		s.closed.Store(true)
		c.Close()
	})
}

// alive checks that every connection still carries data.
func (s *stream) alive(t *testing.T) {
	t.Helper()
	assert.Zero(t, s.broken.Load(), "connections that broke")
}

// A lineReading is what dom0's class has carried.
type lineReading struct {
	at    time.Time
	bytes uint64
}

// line reads dom0's class by tc, since Counters are about guests.
func (s *street) line(t *testing.T) lineReading {
	t.Helper()
	_, sent, _ := strings.Cut(s.host.run(t, "", "tc", "-s", "class", "show", "dev", "eth0", "classid", "5651:fffe"), "Sent ")
	number, _, _ := strings.Cut(sent, " ")
	bytes, err := strconv.ParseUint(number, 10, 64)
	require.NoError(t, err, sent)
	return lineReading{time.Now(), bytes}
}

func drain(c net.Conn) {
	defer c.Close()
	piece := make([]byte, 256<<10)
	for {
		if _, err := c.Read(piece); err != nil {
			return
		}
	}
}

// retransmits counts what TCP had to send twice.
func (s *stream) retransmits(t *testing.T) (total int) {
	t.Helper()
	for _, c := range s.conns {
		tc, ok := c.(*net.TCPConn)
		if !ok {
			return 0
		}
		raw, err := tc.SyscallConn()
		require.NoError(t, err)
		require.NoError(t, raw.Control(func(fd uintptr) {
			info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
			require.NoError(t, err)
			total += int(info.Total_retrans)
		}))
	}
	return total
}
