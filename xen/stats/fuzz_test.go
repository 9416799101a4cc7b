package stats

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzNetDev(f *testing.F) {
	f.Add("a\nb\n  lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n")
	f.Add("a\nb\nvif1.0:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseNetDev(text)
		if err != nil {
			require.Nil(t, all)
			return
		}
		require.LessOrEqual(t, len(all), strings.Count(text, "\n")+1)
	})
}

func FuzzDevice(f *testing.F) {
	f.Add("vif-7-0")
	f.Add("vbd--1-51712")
	f.Fuzz(func(t *testing.T, name string) {
		kind, domid, number, ok := parseDevice(name)
		if ok {
			require.True(t, strings.HasPrefix(name, kind+"-"))
			require.Positive(t, domid)
			require.GreaterOrEqual(t, number, 0)
		}
	})
}
