package xentest

import (
	"io/fs"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen/cpuid"
)

// cpu: a host takes the domains that it made, and another vendor's does not.
func (s *suite) cpu(t *testing.T) {
	driver, spec := role[cpuid.Teller](t, s), s.spec(t, "suite-cpu")
	host, err := driver.CPU(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, host.Vendor)
	_, err = driver.CPUOf(t.Context(), uuid.New())
	require.ErrorIs(t, err, fs.ErrNotExist)
	s.start(t, spec)
	policy, err := driver.CPUOf(t.Context(), spec.UUID)
	require.NoError(t, err)
	assert.Equal(t, host.Vendor, policy.Vendor())
	require.NoError(t, host.Takes(spec.Type, policy))
	host.Vendor = "XenhostTests"
	var missing *cpuid.MissingError
	require.ErrorAs(t, host.Takes(spec.Type, policy), &missing)
}
