// Package domu makes guests for tests that run in the dom0 of a lab host.
package domu

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
)

// Guests makes specs that differ in all that must differ, the same in each run.
type Guests struct{ n int }

// From returns Guests that leave out the first n, for tests of one host that
// must not meet.
func From(n int) *Guests { return &Guests{n: n} }

// Next returns the next spec. Its disk is not there yet.
func (g *Guests) Next(typ xen.Type) xen.Spec {
	g.n++
	spec := xen.Spec{
		UUID: uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, "suite", g.n)), Type: typ, Memory: 128 << 20, VCPUs: 1,
		Kernel: xenlab.GuestKernel, Ramdisk: xenlab.GuestRamdisk,
		Cmdline: xenlab.Guest{Name: "suite", IP: fmt.Sprintf("192.168.0.%d/24", 100+g.n)}.Args(),
		Disks:   []xen.Disk{{Dev: "xvda", Path: fmt.Sprintf("/dev/guests/suite%d", g.n)}},
		Vifs:    []xen.Vif{{Name: fmt.Sprintf("suite%d.0", g.n), Bridge: "xenint", MAC: xen.MAC{0, 0x16, 0x3e, 0, 1, byte(g.n)}}},
	}
	if typ != xen.PV {
		spec.TSCMode = "native" // the emulated CPU needs it
	}
	if typ == xen.HVM {
		spec.Kernel, spec.Cmdline = "/lab/vmlinuz", strings.Replace(spec.Cmdline, "hvc0", "ttyS0", 1)
	}
	return spec
}

// OnVolume returns the next spec, on a volume that is removed after the test.
func (g *Guests) OnVolume(t *testing.T, typ xen.Type) xen.Spec {
	t.Helper()
	spec := g.Next(typ)
	Volume(t, spec.Disks[0].Path)
	return spec
}

// Volume makes one more volume.
func (g *Guests) Volume(t *testing.T) string {
	t.Helper()
	g.n++
	return Volume(t, fmt.Sprintf("/dev/guests/suite%d", g.n))
}

// Volume makes a small volume of the group guests, for as long as the test
// runs, and returns its path.
func Volume(t *testing.T, path string) string {
	t.Helper()
	name := filepath.Base(path)
	Command(t, "lvcreate", "-y", "-q", "-Wy", "-Zy", "-L", "16m", "-n", name, "guests")
	t.Cleanup(func() { Command(t, "lvremove", "-y", "-q", "guests/"+name) })
	return path
}

// Image makes an empty image of a CD-ROM.
func Image(t *testing.T) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image.iso")
	require.NoError(t, os.WriteFile(image, make([]byte, 1<<20), 0o600))
	return image
}

// Command runs a command that must not fail, in cleanups too, and returns what
// it prints.
func Command(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := dom0.Output(context.Background(), dom0.Local{}, argv...)
	require.NoError(t, err, fmt.Sprint(argv))
	return string(out)
}

// Booted waits until the guest's web server answers.
func Booted(t *testing.T, spec xen.Spec) {
	t.Helper()
	ask(t, spec, "/", func(*http.Response) bool { return true })
}

// Boots asks the guest how often it has booted: it counts on its disk.
func Boots(t *testing.T, spec xen.Spec) int {
	t.Helper()
	var state struct{ Boots int }
	ask(t, spec, "/state", func(r *http.Response) bool {
		return json.NewDecoder(r.Body).Decode(&state) == nil && state.Boots > 0
	})
	return state.Boots
}

func ask(t *testing.T, spec xen.Spec, path string, good func(*http.Response) bool) {
	t.Helper()
	_, ip, _ := strings.Cut(spec.Cmdline, "g.ip=")
	ip, _, _ = strings.Cut(ip, "/")
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	require.Eventually(t, func() bool {
		r, err := client.Get("http://" + ip + path)
		if err != nil {
			return false
		}
		defer r.Body.Close()
		return good(r)
	}, 3*time.Minute, time.Second, "the guest answers at %s", ip)
}
