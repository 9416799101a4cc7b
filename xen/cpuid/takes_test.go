package cpuid

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
)

const policy = `Domain 5 policy: 3 leaves, 1 MSRs
 CPUID:
  leaf     subleaf  -> eax      ebx      ecx      edx     
  00000000:ffffffff -> 0000000d:68747541:444d4163:69746e65
  00000001:ffffffff -> 00060fb1:00000800:c0b82201:178bfbfd
  00000007:00000000 -> 00000000:00000009:00000000:00000000
 MSRs:
  index    -> value           
  0000010a -> 00000001000000ff
`

func TestTakes(t *testing.T) {
	h, err := ParseHost(read(t, "sets.out"), read(t, "policies.out"))
	require.NoError(t, err)
	assert.Equal(t, "AuthenticAMD", h.Vendor)
	h.MaxLeaf[xen.PV] = 0xd
	leafy := h.Takes(xen.PVH, Policy{Leaves: []Leaf{{Regs: [4]uint32{8, 0x68747541, 0x444d4163, 0x69746e65}}}})
	require.EqualError(t, leafy, "the CPU of the host lacks leaf 0x8")
	h.MaxLeaf[xen.PVH] = 0xd
	guest := func(change func(string) string) Policy {
		all, err := ParsePolicies(change(policy))
		require.NoError(t, err)
		return all["Domain 5"]
	}
	plain := guest(func(s string) string { return strings.Replace(s, "00000001000000ff", strings.Repeat("0", 16), 1) })
	require.NoError(t, h.Takes(xen.PVH, plain))

	err = h.Takes(xen.PVH, guest(func(s string) string { return s }))
	require.ErrorIs(t, err, errors.ErrUnsupported, "the MSR")
	assert.ErrorContains(t, err, "m10Ah:0, m10Al:0")

	err = h.Takes(xen.PV, guest(func(s string) string {
		return strings.Replace(strings.Replace(s, "00000001000000ff", strings.Repeat("0", 16), 1), ":00000009:", ":00000029:", 1)
	}))
	require.EqualError(t, err, "the CPU of the host lacks pse, sep, mtrr, pge, pse36, avx2")

	var missing *MissingError
	err = h.Takes(xen.PVH, guest(func(s string) string { return strings.Replace(s, "68747541", "756e6547", 1) }))
	require.ErrorAs(t, err, &missing)
	assert.Equal(t, "GenuenticAMD", missing.Vendor)
	require.Error(t, h.Takes(xen.PVH, Policy{}), "no policy at all")

	// A domain on an AMD CPU sees these twice; the host has them once.
	again := Leaf{Leaf: 0x80000001, Subleaf: -1, Regs: [4]uint32{3: 1<<24 | 1<<9}}
	plain.Leaves = append(plain.Leaves, again)
	require.NoError(t, h.Takes(xen.PVH, plain))
	plain.Leaves[len(plain.Leaves)-1].Regs[3] |= 1 << 31
	require.EqualError(t, h.Takes(xen.PVH, plain), "the CPU of the host lacks 3dnow")
}
