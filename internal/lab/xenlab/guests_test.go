package xenlab

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/lab/record"
	"github.com/xenhost/xenhost/xen/dom0"
)

// guestConfig is what xl needs for a lab guest.
func guestConfig(kind, volume string, number int, g Guest) string {
	config := fmt.Sprintf("name=%q\ntype=%q\nkernel=%q\nramdisk=%q\nextra=%q\nmemory=128\nvcpus=1\n", g.Name, kind, GuestKernel, GuestRamdisk, g.Args())
	config += fmt.Sprintf("disk=[\"format=raw,vdev=xvda,access=rw,target=/dev/guests/%s\"]\nvif=[\"bridge=xenint,mac=00:16:3e:00:00:%02x\"]\n", volume, number)
	if kind == "pvh" {
		config += "tsc_mode=\"native\"\n"
	}
	return config
}

// The guest itself; every change sees it at work in internal/e2e anyway.
func TestLabGuests(t *testing.T) {
	l := StartFull(t, "curacao")
	h := l.MustHost(t, "curacao")
	o, err := l.Observe()
	require.NoError(t, err)
	defer o.Close()

	for i, kind := range []string{"pvh", "pv"} {
		number := 10 + i
		g := Guest{Name: kind, IP: fmt.Sprintf("192.168.0.%d/24", number), Gateway: h.InternalIP(), Ack: o.Addr(), Rate: 10, Dirty: 1 << 20}
		mustRun(t, h, "lvcreate", "-qq", "-y", "-L", "16M", "-n", kind, "guests")
		require.NoError(t, h.Write(t.Context(), "/root/"+kind+".cfg", []byte(guestConfig(kind, kind, number, g)), 0o600))
		mustRun(t, h, "iptables", "-t", "nat", "-A", "PREROUTING", "-d", h.ExternalIP(), "-p", "tcp", "--dport", fmt.Sprint(8000+number), "-j", "DNAT", "--to-destination", fmt.Sprintf("192.168.0.%d:80", number))
		began := time.Now()
		mustRun(t, h, "xl", "create", "/root/"+kind+".cfg")
		created := time.Since(began)
		waitFor(t, o, h, kind, 1)
		t.Logf("%s: created in %v, first record after %v", kind, created.Round(time.Second), time.Since(began).Round(time.Second))
	}
	t.Run("a disk has one guest", func(t *testing.T) {
		thief := guestConfig("pv", "pvh", 20, Guest{Name: "thief"})
		require.NoError(t, h.Write(t.Context(), "/root/thief.cfg", []byte(thief), 0o600))
		_, err := h.Run(t.Context(), "xl", "create", "/root/thief.cfg")
		var failed *dom0.Error
		require.ErrorAs(t, err, &failed)
		assert.Contains(t, failed.Stderr, "is mounted in a guest domain")
		assert.NotContains(t, string(mustRun(t, h, "xl", "list")), "thief")
	})
	for i, kind := range []string{"pvh", "pv"} {
		t.Run(kind, func(t *testing.T) { testGuest(t, l, h, o, kind, 10+i) })
	}
}

func testGuest(t *testing.T, l *Lab, h *Host, o *Observer, kind string, number int) {
	url := fmt.Sprintf("http://%s:%d", h.ExternalIP(), 8000+number)
	page, err := l.Internet().Get(t.Context(), url)
	require.NoError(t, err)
	assert.Equal(t, "hello from "+kind+"\n", string(page))

	from := time.Now()
	waitFor(t, o, h, kind, o.Acked(kind)+20)
	assert.Less(t, o.Gap(kind, from, time.Now()), time.Since(from)+time.Second)

	// Once more, to see that boots are counted and the chain goes on.
	began := time.Now()
	mustRun(t, h, "xl", "shutdown", "-w", kind)
	t.Logf("%s: shut down in %v", kind, time.Since(began).Round(100*time.Millisecond))
	gone(t, h, kind)
	acked := o.Acked(kind)
	mustRun(t, h, "xl", "create", "/root/"+kind+".cfg")
	waitFor(t, o, h, kind, acked+10)
	var state struct {
		Name            string
		Boots, Sequence uint64
	}
	page, err = l.Internet().Get(t.Context(), url+"/state")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(page, &state))
	assert.Equal(t, kind, state.Name)
	assert.EqualValues(t, 2, state.Boots)
	mustRun(t, h, "xl", "destroy", kind)

	image := filepath.Join(t.TempDir(), kind)
	require.NoError(t, h.Get(t.Context(), "/dev/guests/"+kind, image))
	f, err := os.Open(image)
	require.NoError(t, err)
	defer f.Close()
	at, err := record.Verify(f, 16<<20)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, at.Last, o.Acked(kind), "no acknowledged record is lost")
	assert.EqualValues(t, 2, at.Boots)
}

// gone waits until xl's monitor has removed a domain that was shut down.
func gone(t *testing.T, h *Host, guest string) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, err := h.Run(t.Context(), "xl", "domid", guest)
		return err != nil
	}, time.Minute, 200*time.Millisecond)
}

func mustRun(t *testing.T, h *Host, argv ...string) []byte {
	t.Helper()
	out, err := h.Run(t.Context(), argv...)
	require.NoError(t, err)
	return out
}

// waitFor waits for a record; if it does not come, the guest's console says why.
func waitFor(t *testing.T, o *Observer, h *Host, guest string, number uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if err := o.Wait(ctx, guest, number); err != nil {
		console, _ := h.Read(t.Context(), "/var/log/xen/console/guest-"+guest+".log")
		lines := strings.Split(string(console), "\n")
		t.Fatalf("%v\n%s", err, strings.Join(lines[max(0, len(lines)-20):], "\n"))
	}
}
