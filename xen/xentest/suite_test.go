package xentest_test

import (
	"context"
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

func fakeHarness(opts *xentest.Options) xentest.Harness {
	return xentest.Harness{
		New: func(*testing.T) xen.Domains { return xentest.New(opts) },
		Spec: func(t *testing.T, typ xen.Type) xen.Spec {
			disk := filepath.Join(t.TempDir(), "disk")
			require.NoError(t, os.WriteFile(disk, nil, 0o600))
			spec := guest("any")
			spec.Type, spec.Disks = typ, []xen.Disk{{Dev: "xvda", Path: disk}}
			return spec
		},
		Types: []xen.Type{xen.PVH, xen.PV},
		Deaf: func(_ *testing.T, d xen.Domains, id uuid.UUID) {
			d.(*xentest.Fake).IgnoreShutdown(id)
		},
	}
}

func TestHostileStringsAreMany(t *testing.T) {
	assert.GreaterOrEqual(t, len(xentest.HostileStrings()), 300)
}
