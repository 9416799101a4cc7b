package billing_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/lab/domu"
	"github.com/xenhost/xenhost/internal/lab/xenlab"
	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/lvm/lvmtest"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/networktest"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/billing"
	"github.com/xenhost/xenhost/xen/host/billing/billingtest"
	"github.com/xenhost/xenhost/xen/xentest"
	"github.com/xenhost/xenhost/xen/xl"
)

func plain() host.Guest {
	return host.Guest{
		Name: "web1", Type: xen.PVH, Memory: 128 << 20, VCPUs: 1, Kernel: "/lab/vmlinuz",
		Disks: []host.Disk{{Dev: "xvda", Volume: lvm.ID{Group: "guests", Name: "web1"}, Size: 16 << 20}},
	}
}

// world is a host on fakes.
type world struct {
	domains *xentest.Fake
	volumes *lvmtest.Fake
	network *networktest.Fake
	state   string
}

func newWorld(t *testing.T) *world {
	return &world{
		domains: xentest.New(nil), network: networktest.New(nil), state: t.TempDir(),
		volumes: lvmtest.New(t.TempDir(), lvmtest.GroupSpec{Name: "guests", Size: 64 << 20, Extent: 1 << 20}),
	}
}

func (w *world) host() *host.Host {
	return host.New(host.Config{Name: "curacao", Domains: w.domains, Volumes: w.volumes, Network: w.network, StateDir: w.state})
}

func TestFake(t *testing.T) {
	w := newWorld(t)
	billingtest.TestDesk(t, billingtest.World{Host: w.host, StateDir: w.state, Guest: plain()})
}

// TestDom0 is the same on a real Xen host, with a guest that boots.
func TestDom0(t *testing.T) {
	tier.Require(t, tier.Dom0)
	state := t.TempDir()
	g := plain()
	g.Name, g.Disks[0].Volume.Name = "billed", "billed"
	g.Kernel, g.Ramdisk, g.TSCMode = xenlab.GuestKernel, xenlab.GuestRamdisk, "native"
	g.Cmdline = xenlab.Guest{Name: "billed", IP: "192.168.0.93/24"}.Args()
	g.Nics = []host.Nic{{Bridge: "xenint", MAC: xen.MAC{0, 0x16, 0x3e, 0, 9, 3}, Addresses: []netip.Addr{netip.MustParseAddr("192.168.0.93")}}}
	billingtest.TestDesk(t, billingtest.World{
		Host: func() *host.Host {
			return host.New(host.Config{
				Name: "curacao", Domains: xl.New(dom0.Local{}, nil), Volumes: lvm.New(dom0.Local{}, nil), Network: network.New(nil),
				StateDir: state, Grace: 2 * time.Minute,
			})
		},
		StateDir: state, Guest: g,
		Up: func(t *testing.T, g host.Guest) { domu.Booted(t, xen.Spec{Cmdline: g.Cmdline}) },
	})
}

var anna = billing.Ref{Order: "4711", Customer: "anna"}

func order() billing.Order {
	return billing.Order{ID: anna.Order, Customer: anna.Customer, Guest: plain()}
}

// A call that fails anywhere is answered by the same call again.
func TestCalledAgain(t *testing.T) {
	boom := errors.New("boom")
	for _, op := range []string{"create", "destroy", "shutdown"} {
		for _, late := range []bool{false, true} {
			w := newWorld(t)
			desk := billing.New(w.host(), billing.Config{StateDir: w.state})
			ctx := t.Context()
			fail := w.domains.Fail
			if late {
				fail = w.domains.FailAfter
			}
			twice := func(verb string, call func() error) {
				fail(op, boom)
				err := call()
				for n := 0; err != nil && n < 5; n++ { // faults that earlier verbs did not meet come too
					require.ErrorIs(t, err, boom, verb)
					err = call()
				}
				require.NoError(t, err, "%s, after %s failed", verb, op)
			}
			twice("provision", func() error { _, err := desk.Provision(ctx, order()); return err })
			twice("suspend", func() error { return desk.Suspend(ctx, anna, "not paid") })
			twice("unsuspend", func() error { return desk.Unsuspend(ctx, anna) })
			twice("plan", func() error {
				_, err := desk.ChangePlan(ctx, anna, host.Plan{Memory: 256 << 20}, &host.PlanOptions{Restart: true})
				return err
			})
			twice("terminate", func() error {
				_, err := desk.Terminate(ctx, anna, billing.Termination{Name: "web1"})
				return err
			})
			volumes, err := w.volumes.Volumes(ctx, "guests")
			require.NoError(t, err)
			assert.Empty(t, volumes)
			_, err = desk.Provision(ctx, order())
			require.ErrorIs(t, err, billing.ErrTerminated)
		}
	}
}

// A termination that a crash cut off anywhere ends with the same call, or with a
// sweep, and never lets the order be provisioned again.
func TestTerminateCutOff(t *testing.T) {
	boom := errors.New("boom")
	for name, fail := range map[string]func(*world){
		"wipe":          func(w *world) { w.volumes.Fail("open", boom) },
		"remove":        func(w *world) { w.volumes.Fail("remove", boom) },
		"remove, late":  func(w *world) { w.volumes.FailAfter("remove", boom) },
		"network":       func(w *world) { w.network.Fail("remove", boom) },
		"network, late": func(w *world) { w.network.FailAfter("remove", boom) },
	} {
		t.Run(name, func(t *testing.T) {
			w, ctx := newWorld(t), t.Context()
			desk := billing.New(w.host(), billing.Config{StateDir: w.state})
			_, err := desk.Provision(ctx, order())
			require.NoError(t, err)
			fail(w)
			_, err = desk.Terminate(ctx, anna, billing.Termination{Name: "web1"})
			require.ErrorIs(t, err, boom)
			_, err = desk.Provision(ctx, order())
			if err == nil { // it was not over yet: then it is the old one, suspended
				require.ErrorIs(t, w.host().Start(ctx, billing.GuestOf(anna.Order)), host.ErrSuspended)
			} else {
				require.ErrorIs(t, err, billing.ErrTerminated)
			}
			_, err = billing.New(w.host(), billing.Config{StateDir: w.state}).Terminate(ctx, anna, billing.Termination{Name: "web1"})
			require.NoError(t, err)
			guests, err := w.host().Guests(ctx)
			require.NoError(t, err)
			assert.Empty(t, guests)
		})
	}
}

// Ten calls of one order at the same moment make one guest.
func TestOneOrderAtOnce(t *testing.T) {
	w := newWorld(t)
	var wait sync.WaitGroup
	errs := make([]error, 10)
	for i := range errs {
		desk := billing.New(w.host(), billing.Config{StateDir: w.state})
		wait.Go(func() { _, errs[i] = desk.Provision(t.Context(), order()) })
	}
	wait.Wait()
	made := 0
	for _, err := range errs {
		if err == nil {
			made++
			continue
		}
		if !errors.Is(err, host.ErrBusy) {
			require.ErrorIs(t, err, fs.ErrExist, "it was finished between the look and the hold")
		}
	}
	assert.Positive(t, made)
	domains, err := w.domains.List(t.Context())
	require.NoError(t, err)
	assert.Len(t, domains, 1)
}

func TestAuthorizeAndAudit(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	var out bytes.Buffer
	no := errors.New("read-only token")
	var asked []billing.Request
	desk := billing.New(w.host(), billing.Config{
		StateDir: w.state,
		Log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "took" {
				return slog.Attr{}
			}
			return a
		}})),
		Authorize: func(_ context.Context, r billing.Request) error {
			asked = append(asked, r)
			if r.Actor == "report" && r.Verb != "ping" {
				return no
			}
			return nil
		},
	})
	_, err := desk.As("report").Provision(ctx, order())
	require.ErrorIs(t, err, no)
	require.EqualError(t, err, "billing: provision order 4711: read-only token")
	_, err = w.host().Guest(ctx, billing.GuestOf("4711"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = desk.As("report").Ping(ctx)
	require.NoError(t, err)
	_, err = desk.As("whmcs").Provision(ctx, order())
	require.NoError(t, err)
	err = desk.As("whmcs").Suspend(ctx, billing.Ref{Order: "4711", Customer: "bob\nlevel=INFO msg=done"}, "")
	require.ErrorIs(t, err, billing.ErrInvalid)
	id := billing.GuestOf("4711").String()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 4)
	assert.Equal(t, `level=WARN msg=refused verb=provision actor=report order=4711 customer=anna guest=`+id+` error="read-only token"`, lines[0])
	assert.Equal(t, `level=INFO msg=done verb=ping actor=report order="" customer=""`, lines[1])
	assert.Equal(t, `level=INFO msg=done verb=provision actor=whmcs order=4711 customer=anna guest=`+id, lines[2])
	assert.Contains(t, lines[3], `level=WARN msg=refused verb=suspend actor=whmcs order=4711 customer="bob\nlevel=INFO msg=done"`)
	assert.Equal(t, billing.Request{Actor: "report", Verb: "provision", Ref: anna}, asked[0])
	assert.Equal(t, "success", billing.Answer(nil))
	assert.Equal(t, no.Error(), billing.Answer(no))
}

// What was suspended before it was terminated is suspended after it was revived.
func TestReviveKeepsTheSuspension(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	desk := billing.New(w.host(), billing.Config{StateDir: w.state})
	_, err := desk.Provision(ctx, order())
	require.NoError(t, err)
	require.NoError(t, desk.Suspend(ctx, anna, "not paid"))
	_, err = desk.Terminate(ctx, anna, billing.Termination{Name: "web1", Grace: time.Hour})
	require.NoError(t, err)
	require.NoError(t, desk.Revive(ctx, anna))
	require.ErrorIs(t, w.host().Start(ctx, billing.GuestOf(anna.Order)), host.ErrSuspended)
	require.NoError(t, desk.Unsuspend(ctx, anna))
	require.ErrorIs(t, errors.Join(func() error { _, err := desk.Usage(ctx, time.Time{}, time.Now()); return err }()), errors.ErrUnsupported)
}
