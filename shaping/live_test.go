package shaping_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/xenhost/xenhost/shaping"
	"github.com/xenhost/xenhost/shaping/shapingtest"
)

func TestLinux(t *testing.T) {
	needNamespaces(t)
	shapingtest.TestManager(t, func(t *testing.T) shapingtest.Site {
		s := newSpace(t)
		s.ip(t, "link add eth0 type veth peer name eth1", "link set eth0 up", "link set eth1 up")
		plug := func(t *testing.T, name string) {
			s.ip(t, "link add "+name+" type veth peer name p"+name, "link set "+name+" up", "link set p"+name+" up")
		}
		now := time.Now()
		return shapingtest.Site{
			Manager: shaping.New(&shaping.Options{NetNS: s.path(), LockDir: t.TempDir(), Now: func() time.Time { return now }}),
			Uplinks: [2]string{"eth0", "eth1"},
			Plug:    plug,
			Unplug:  func(t *testing.T, name string) { s.ip(t, "link delete "+name) },
			Plant: func(t *testing.T, name string) {
				plug(t, name)
				s.run(t, "", "tc", "qdisc", "add", "dev", name, "root", "handle", "1:", "tbf", "rate", "1mbit", "burst", "2kb", "limit", "9kb")
				before := s.run(t, "", "tc", "qdisc", "show", "dev", name)
				t.Cleanup(func() {
					if strings.Contains(s.run(t, "", "ip", "-o", "link"), name+"@") {
						assert.Equal(t, before, s.run(t, "", "tc", "qdisc", "show", "dev", name))
					}
				})
			},
			Now:  func() time.Time { return now },
			Pass: func(d time.Duration) { now = now.Add(d) },
		}
	})
}
