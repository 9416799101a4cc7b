package xentest_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/xentest"
)

func TestFake(t *testing.T) {
	xentest.TestDomains(t, fakeHarness(nil))
}

// The suite passes too when the guests are programs.
func TestFakeWithPrograms(t *testing.T) {
	xentest.TestDomains(t, fakeHarness(&xentest.Options{Program: func(ctx context.Context, g *xentest.Guest) { <-ctx.Done() }}))
}

func TestFakeRoles(t *testing.T) {
	xentest.TestRoles(t, fakeHarness(nil))
}

func TestFakeRolesWithPrograms(t *testing.T) {
	xentest.TestRoles(t, fakeHarness(&xentest.Options{Program: func(ctx context.Context, g *xentest.Guest) {
		_, _ = g.Console().Write([]byte("up\n"))
		<-ctx.Done()
	}}))
}

func fakeHarness(opts *xentest.Options) xentest.Harness {
	if opts == nil {
		opts = &xentest.Options{}
	}
	opts.Bridges = []string{"xenint"}
	vifs := 0
	file := func(name string) func(*testing.T) string {
		return func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), name)
			require.NoError(t, os.WriteFile(path, nil, 0o600))
			return path
		}
	}
	return xentest.Harness{
		New: func(*testing.T) xen.Domains { return xentest.New(opts) },
		Spec: func(t *testing.T, typ xen.Type) xen.Spec {
			vifs++
			spec := guest("any")
			spec.Type, spec.Disks = typ, []xen.Disk{{Dev: "xvda", Path: file("disk")(t)}}
			spec.Vifs = []xen.Vif{{Name: fmt.Sprintf("suite%d.0", vifs), Bridge: "xenint", MAC: xen.MAC{0, 0x16, 0x3e, 0, 1, byte(vifs)}}}
			return spec
		},
		Disk:  file("more"),
		Image: file("image.iso"),
		Types: []xen.Type{xen.PVH, xen.PV, xen.HVM},
		Deaf: func(_ *testing.T, d xen.Domains, id uuid.UUID) {
			d.(*xentest.Fake).IgnoreShutdown(id)
		},
	}
}

func TestHostileStringsAreMany(t *testing.T) {
	assert.GreaterOrEqual(t, len(xentest.HostileStrings()), 300)
}
