// Package billingtest has the suite of package billing: it runs on a host of
// fakes, and on a real one.
package billingtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/billing"
	"github.com/xenhost/xenhost/xen/host/image"
	"github.com/xenhost/xenhost/xen/host/seed"
)

// World is the host that the suite runs on. It has no orders when it begins and
// none when it ends.
type World struct {
	// Host composes the host, each time as a process that has just started does.
	Host func() *host.Host
	// StateDir is the host's.
	StateDir string
	// Guest is what is ordered: one disk, xvda, of 16 MiB at most, and no UUID.
	Guest host.Guest
	// Up waits until the guest has booted; nil where a domain is enough.
	Up func(t *testing.T, g host.Guest)
}

// stage is a run of the suite.
type stage struct {
	World
	*testing.T
	host *host.Host
	desk *billing.Desk
	now  *time.Time // of the desk
	used map[uuid.UUID]billing.Usage
}

// Usage implements billing.Meter.
func (s *stage) Usage(context.Context, []uuid.UUID, time.Time, time.Time) (map[uuid.UUID]billing.Usage, error) {
	return s.used, nil
}

// TestDesk is the life of an order, each call made twice.
func TestDesk(t *testing.T, w World) {
	now := time.Now()
	s := &stage{World: w, T: t, host: w.Host(), now: &now, used: make(map[uuid.UUID]billing.Usage)}
	s.desk = billing.New(s.host, billing.Config{StateDir: w.StateDir, Meter: s, Now: func() time.Time { return now }})
	t.Cleanup(func() { // of a run that failed
		_ = s.host.Terminate(context.Background(), billing.GuestOf("suite-1"))
		_ = s.host.Terminate(context.Background(), billing.GuestOf("suite-2"))
	})
	for _, step := range []struct {
		name string
		run  func(*stage)
	}{
		{"ping", (*stage).ping}, {"provision", (*stage).provision}, {"suspend", (*stage).suspend}, {"change plan", (*stage).plan},
		{"reinstall", (*stage).reinstall}, {"usage", (*stage).usage}, {"identity", (*stage).identity},
		{"terminate with grace", (*stage).grace}, {"terminated for good", (*stage).terminated}, {"the next owner", (*stage).next}, {"nothing is left", (*stage).nothing},
	} {
		ok := t.Run(step.name, func(t *testing.T) {
			sub := *s
			sub.T = t
			step.run(&sub)
		})
		if !ok {
			return // the steps are one life
		}
	}
}

func ref(n int) billing.Ref {
	return billing.Ref{Order: fmt.Sprintf("suite-%d", n), Customer: "anna"}
}

// order is one with an image of this content and a seed.
func (s *stage) order(n int, content string) billing.Order {
	s.Helper()
	o := billing.Order{ID: ref(n).Order, Customer: ref(n).Customer, Guest: s.Guest}
	if content != "" {
		o.Images = s.image(content)
		o.Seed = &seed.Seed{Hostname: s.Guest.Name, Keys: []string{"ssh-ed25519 AAAA anna"}}
	}
	return o
}

// image is a MiB that begins with content.
func (s *stage) image(content string) map[string]image.Source {
	s.Helper()
	path := filepath.Join(s.StateDir, fmt.Sprintf("golden-%x.raw", sha256.Sum256([]byte(content)))[:20])
	data := make([]byte, 1<<20)
	copy(data, content)
	require.NoError(s, os.WriteFile(path, data, 0o600))
	return map[string]image.Source{"xvda": {Path: path, Format: image.Raw, SHA256: fmt.Sprintf("%x", sha256.Sum256(data))}}
}

func (s *stage) status() host.Status {
	s.Helper()
	st, err := s.host.Guest(s.Context(), billing.GuestOf("suite-1"))
	require.NoError(s, err)
	return st
}

// runs waits until the guest is up, and returns its domid.
func (s *stage) runs() int {
	s.Helper()
	st := s.status()
	require.NotNil(s, st.Domain)
	if s.Up != nil {
		s.Up(s.T, st.Guest)
	}
	return st.Domain.ID
}

// head reads the start of a disk of the guest.
func (s *stage) head(volume lvm.ID, n int) []byte {
	s.Helper()
	d, err := s.host.Volumes().Open(s.Context(), volume)
	require.NoError(s, err)
	defer d.Close()
	b := make([]byte, n)
	_, err = d.ReadAt(b, 0)
	require.NoError(s, err)
	return b
}

func (s *stage) ping() {
	pong, err := s.desk.Ping(s.Context())
	require.NoError(s, err)
	assert.NotEmpty(s, pong.Xen.XenVersion)
	assert.Positive(s, pong.Memory)
	assert.Zero(s, pong.Guests)
}

func (s *stage) provision() {
	o := s.order(1, "first")
	g, err := s.desk.Provision(s.Context(), o)
	require.NoError(s, err)
	assert.Equal(s, billing.GuestOf(o.ID), g.UUID)
	id := s.runs()
	again, err := s.desk.Provision(s.Context(), o)
	require.NoError(s, err)
	assert.Equal(s, g, again)
	assert.Equal(s, id, s.status().Domain.ID)
	require.Len(s, g.Disks, 2)
	assert.Equal(s, "CD001", string(s.head(g.Disks[1].Volume, 40<<10)[32769:32774]), "its seed is an ISO image")

	other := o
	other.Guest.VCPUs++
	_, err = s.desk.Provision(s.Context(), other)
	require.ErrorIs(s, err, fs.ErrExist)
	other = o
	other.Customer = "bob"
	_, err = s.desk.Provision(s.Context(), other)
	require.ErrorIs(s, err, billing.ErrIdentity)
}

func (s *stage) suspend() {
	ctx := s.Context()
	for range 2 {
		require.NoError(s, s.desk.Suspend(ctx, ref(1), "not paid"))
		assert.Nil(s, s.status().Domain)
	}
	id := billing.GuestOf("suite-1")
	require.ErrorIs(s, s.host.Start(ctx, id), host.ErrSuspended)
	report, err := s.World.Host().Boot(ctx) // as after a power failure
	require.NoError(s, err)
	assert.NotContains(s, report.Started, id)
	assert.Nil(s, s.status().Domain)
	for range 2 {
		require.NoError(s, s.desk.Unsuspend(ctx, ref(1)))
		s.runs()
	}
}

func (s *stage) plan() {
	before := s.status()
	grown := before.Guest.Disks[0].Size + 4<<20
	limit := 80
	p := host.Plan{Memory: before.Guest.Memory + 32<<20, Weight: 512, Cap: &limit, Disks: map[string]int64{"xvda": grown}}
	changes, err := s.desk.ChangePlan(s.Context(), ref(1), p, nil)
	require.NoError(s, err)
	when := make(map[string]host.When)
	for _, c := range changes {
		s.Logf("%s: %s to %s, %s", c.What, c.From, c.To, c.When)
		when[c.What] = c.When
	}
	assert.Equal(s, map[string]host.When{"memory": host.Staged, "share": host.Live, "disk xvda": host.Live}, when, "it was started without room to grow")
	after := s.status()
	assert.Equal(s, before.Domain.ID, after.Domain.ID)
	assert.GreaterOrEqual(s, after.Volumes[0].Size, grown)
	changes, err = s.desk.ChangePlan(s.Context(), ref(1), p, &host.PlanOptions{Restart: true})
	require.NoError(s, err)
	assert.Empty(s, changes)

	p.Memory -= 16 << 20
	changes, err = s.desk.ChangePlan(s.Context(), ref(1), p, &host.PlanOptions{Restart: true})
	require.NoError(s, err)
	require.Len(s, changes, 1)
	s.Logf("memory: %s to %s, %s", changes[0].From, changes[0].To, changes[0].When)
	s.runs()
	_, err = s.desk.ChangePlan(s.Context(), ref(1), host.Plan{Memory: 1 << 40}, nil)
	require.Error(s, err)
	assert.Equal(s, p.Memory, s.status().Guest.Memory)
}

func (s *stage) reinstall() {
	before := s.runs()
	volume := s.status().Guest.Disks[0].Volume
	job := billing.Reinstallation{Job: "88", Images: s.image("second"), Seed: &seed.Seed{Hostname: "again"}}
	require.NoError(s, s.desk.Reinstall(s.Context(), ref(1), job))
	after := s.runs()
	assert.NotEqual(s, before, after)
	if s.Up == nil { // a guest that really boots writes to its disk
		assert.Equal(s, "second", string(bytes.TrimRight(s.head(volume, 4096), "\x00")))
	}
	require.NoError(s, s.desk.Reinstall(s.Context(), ref(1), job))
	assert.Equal(s, after, s.status().Domain.ID, "a job is done once")

	bad := s.image("third")
	bad["xvda"] = image.Source{Path: bad["xvda"].Path + "-none", Format: image.Raw}
	require.ErrorIs(s, s.desk.Reinstall(s.Context(), ref(1), billing.Reinstallation{Job: "89", Images: bad}), fs.ErrNotExist)
	assert.Equal(s, after, s.status().Domain.ID, "what can not be read stops nothing")
}
