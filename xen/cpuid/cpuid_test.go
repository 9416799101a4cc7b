package cpuid

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/dom0/dom0test"
)

func read(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	require.NoError(t, err)
	return string(data)
}

func TestPlaces(t *testing.T) {
	for word, want := range map[string]place{
		"1d": {leaf: 1, subleaf: -1, register: 3}, "e1c": {leaf: 0x80000001, subleaf: -1, register: 2}, "Da1": {leaf: 0xd, subleaf: 1},
		"7b0": {leaf: 7, register: 1}, "e21a": {leaf: 0x80000021, subleaf: -1}, "7d2": {leaf: 7, subleaf: 2, register: 3},
		"m10Al": {msr: 0x10a}, "m10Ah": {msr: 0x10a, high: true},
	} {
		got, ok := placeOf(word)
		assert.True(t, ok, word)
		assert.Equal(t, want, got, word)
	}
	for _, word := range []string{"", "x", "1", "d", "7b00", "m", "m10A", "???", "m0l"} {
		_, ok := placeOf(word)
		assert.False(t, ok, word)
	}
}

func TestRecordedSets(t *testing.T) {
	sets, err := ParseSets(read(t, "sets.out"))
	require.NoError(t, err)
	assert.Len(t, sets, 6, "the dynamic ones")
	assert.EqualValues(t, 0x0789c3f5, sets["PV Default"]["1d"], "not the static set of that name")
	assert.EqualValues(t, 0x00100000, sets["HVM Max"]["e8b"])
	assert.EqualValues(t, 0x24, sets["HVM Max"]["e21a"])
	assert.Contains(t, sets["Host"], "e21c")
	var missing []string
	for _, f := range sets["HVM Max"].Minus(sets["PV Max"]) {
		missing = append(missing, f.String())
	}
	assert.Equal(t, []string{"pse", "sep", "mtrr", "pge", "pse36", "svm", "no-lmsle"}, missing)
}

func TestRecordedPolicies(t *testing.T) {
	policies, err := ParsePolicies(read(t, "policies-head.out"))
	require.NoError(t, err)
	raw := policies["Raw"]
	assert.Len(t, raw.Leaves, 8)
	assert.Equal(t, "AuthenticAMD", raw.Vendor())
	assert.Equal(t, Set{"1d": 0x078bfbfd, "1c": 0xc0982201, "7b0": 9, "e1c": 5, "m10Al": 0}, raw.Set("1d", "1c", "7b0", "e1c", "m10Al", "7b9"))
}

// A whole host: what a domain is given by default it can be given, and the
// policies say the same as the sets.
func TestRecordedHost(t *testing.T) {
	h, err := ParseHost(read(t, "sets-opteron.out"), read(t, "policies.out"))
	require.NoError(t, err)
	assert.Equal(t, "AuthenticAMD", h.Vendor)
	policies, err := ParsePolicies(read(t, "policies.out"))
	require.NoError(t, err)
	assert.Len(t, policies, 6)
	for _, typ := range []xen.Type{xen.PV, xen.PVH} {
		assert.Empty(t, h.Usual[typ].Minus(h.Max[typ]))
	}
	require.NoError(t, h.Takes(xen.PVH, policies["HVM Default"]))
	require.NoError(t, h.Takes(xen.PV, policies["PV Default"]))
	require.Error(t, h.Takes(xen.PV, policies["HVM Default"]))

	older, err := ParseHost(read(t, "sets.out"), read(t, "policies.out"))
	require.NoError(t, err)
	lines, err := Level(xen.PVH, h, older)
	require.NoError(t, err)
	assert.Equal(t, []string{
		"0x7,0:ebx=xxxxxxxxxxxxxxxxxxxxxxxxxxxx0xxx",
		"0x80000001:ecx=" + strings.Repeat("x", 25) + "00xxxxx",
		"0x80000021:eax=" + strings.Repeat("x", 29) + "0xx",
	}, lines)
}

func TestRefusesWhatItDoesNotKnow(t *testing.T) {
	good := read(t, "sets.out")
	for _, text := range []string{"", "nope", strings.Replace(good, "m10Al", "m10Az", 1), strings.Replace(good, "178bfbfd", "178bfbf", 1), strings.Replace(good, "178bfbfd:", "178bfbfd:00000000:", 1)} {
		_, err := ParseSets(text)
		require.Error(t, err)
	}
	for _, text := range []string{"", "nope", "Raw policy: 1 leaves, 0 MSRs\n  0000000x:ffffffff -> x\n"} {
		_, err := ParsePolicies(text)
		require.Error(t, err)
	}
	_, err := ParseHost(strings.Replace(good, "HVM Max", "HVM Most", 2), read(t, "policies.out"))
	require.ErrorContains(t, err, "HVM Max")
	_, err = ParseHost(good, read(t, "policies-head.out"))
	require.ErrorContains(t, err, "vendor")
	_, err = ParseHost(good, strings.Replace(read(t, "policies.out"), "HVM Max policy", "HVM Most policy", 1))
	require.ErrorContains(t, err, "no policy HVM Max")
}

// hosts of one vendor, whose domains get a part of what they could.
func hosts(t *rapid.T) []Host {
	words := []string{"1d", "1c", "7b0", "7d0", "e8b", "Da1", "m10Al"}
	var all []Host
	for range rapid.IntRange(1, 4).Draw(t, "hosts") {
		most, usual := Set{}, Set{}
		for _, w := range words {
			most[w] = rapid.Uint32().Draw(t, w)
			usual[w] = most[w] & rapid.Uint32().Draw(t, "usual")
		}
		all = append(all, Host{Vendor: "V", Max: map[xen.Type]Set{xen.PVH: most}, Usual: map[xen.Type]Set{xen.PVH: usual}})
	}
	return all
}

// masked is what a domain gets that is started with the lines.
func masked(t require.TestingT, usual Set, lines []string) Set {
	got := usual.or(nil)
	for _, line := range lines {
		at, registers, _ := strings.Cut(line, ":")
		for register := range strings.SplitSeq(registers, ",") {
			name, bits, _ := strings.Cut(register, "=")
			for word := range got {
				p, _ := placeOf(word)
				leaf := "0x" + strconv.FormatUint(uint64(p.leaf), 16)
				if p.subleaf >= 0 {
					leaf += "," + strconv.Itoa(p.subleaf)
				}
				if p.msr != 0 || leaf != at || name != "e"+string(rune('a'+p.register))+"x" {
					continue
				}
				require.Len(t, bits, 32)
				for i, c := range bits {
					if c == '0' {
						got[word] &^= 1 << (31 - i)
					}
				}
			}
		}
	}
	if got["7d0"]>>archCaps&1 == 0 {
		got["m10Al"] = 0
	}
	return got
}

func TestLevelledDomainsGoEverywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := hosts(t)
		lines, err := Level(xen.PVH, all...)
		require.NoError(t, err)
		s := xen.Spec{Name: "a", UUID: uuid.New(), Type: xen.PVH, Memory: 64 << 20, VCPUs: 1, Kernel: "/k", CPUID: lines}
		require.NoError(t, s.Validate())
		for _, from := range all {
			got := masked(t, from.Usual[xen.PVH], lines)
			for _, to := range all {
				missing := got.Minus(to.Max[xen.PVH])
				require.Empty(t, missing)
			}
		}
		again, err := Level(xen.PVH, all[0])
		require.NoError(t, err)
		require.Empty(t, again, "one host needs none")
	})
}

func TestLevelHidesNoMoreThanNeeded(t *testing.T) {
	a := Host{Vendor: "V", Max: map[xen.Type]Set{xen.PVH: {"7b0": 0x29, "1c": 1}}, Usual: map[xen.Type]Set{xen.PVH: {"7b0": 0x21, "1c": 1}}}
	b := Host{Vendor: "V", Max: map[xen.Type]Set{xen.PVH: {"7b0": 0x01, "1c": 3}}, Usual: map[xen.Type]Set{xen.PVH: {"7b0": 0x01, "1c": 2}}}
	lines, err := Level(xen.PVH, a, b)
	require.NoError(t, err)
	assert.Equal(t, []string{
		"0x1:ecx=" + strings.Repeat("x", 30) + "0x",
		"0x7,0:ebx=" + strings.Repeat("x", 26) + "0xxxxx",
	}, lines)
	a.MaxLeaf, b.MaxLeaf = map[xen.Type]uint32{xen.PVH: 0x16}, map[xen.Type]uint32{xen.PVH: 0xd}
	lines, err = Level(xen.PVH, a, b)
	require.NoError(t, err)
	assert.Equal(t, "0x0:eax=00000000000000000000000000001101", lines[0])
	assert.Len(t, lines, 3)
	b.Vendor = "W"
	_, err = Level(xen.PVH, a, b)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	_, err = Level(xen.PVH)
	require.Error(t, err)
}

func TestRead(t *testing.T) {
	sets, policies := read(t, "sets.out"), read(t, "policies.out")
	r := dom0test.Func(func(_ context.Context, cmd dom0.Cmd) error {
		text := map[string]string{"/x/xen-cpuid": sets, "/x/xen-cpuid -p": policies, "/x/xen-cpuid -p 5": policy}[strings.Join(cmd.Args, " ")]
		require.NotEmpty(t, text, "%v", cmd.Args)
		_, err := cmd.Stdout.Write([]byte(text))
		return err
	})
	h, err := Read(t.Context(), r, "/x/xen-cpuid")
	require.NoError(t, err)
	assert.Equal(t, h.Max[xen.PVH], h.Max[xen.HVM])
	p, err := ReadDomain(t.Context(), r, "/x/xen-cpuid", 5)
	require.NoError(t, err)
	assert.EqualValues(t, 0x1000000ff, p.MSRs[0x10a])
	broken := errors.New("broken")
	_, err = Read(t.Context(), dom0test.Func(func(context.Context, dom0.Cmd) error { return broken }), "/x/xen-cpuid")
	require.ErrorIs(t, err, broken)
	_, err = ReadDomain(t.Context(), dom0test.Func(func(_ context.Context, cmd dom0.Cmd) error {
		_, err := cmd.Stdout.Write([]byte(policy))
		return err
	}), "/x/xen-cpuid", 6)
	require.ErrorContains(t, err, "does not show domid 6")
}

func FuzzParseSets(f *testing.F) {
	f.Add(read(f, "sets.out"))
	f.Fuzz(func(t *testing.T, text string) {
		sets, err := ParseSets(text)
		if err != nil {
			return
		}
		for _, s := range sets {
			require.Empty(t, s.Minus(s))
			for _, feature := range s.Minus(nil) {
				require.NotEmpty(t, feature.String())
			}
		}
	})
}

func FuzzParsePolicies(f *testing.F) {
	f.Add(read(f, "policies-head.out"))
	f.Add(policy)
	f.Fuzz(func(t *testing.T, text string) {
		policies, err := ParsePolicies(text)
		if err != nil {
			return
		}
		for _, p := range policies {
			_ = p.Vendor()
			require.Len(t, p.Set("m10Al", "x"), 1)
		}
	})
}
