package network

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func linesOf(s State) []string {
	var out []string
	for _, f := range s.Normalize().facts() {
		out = append(out, f.line)
	}
	return out
}

func TestStateIsItsFacts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := states().Draw(t, "state")
		require.NoError(t, s.Validate())
		require.Equal(t, s.Normalize(), stateOf(linesOf(s)))
		require.Equal(t, s.Normalize(), s.Normalize().Normalize())
	})
}

// TestDiffLeadsThere does a plan's steps one by one, as text.
func TestDiffLeadsThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		have, want := states().Draw(t, "have"), states().Draw(t, "want")
		require.True(t, Diff(have, have.Normalize()).Empty())
		now := map[string]string{} // line by key
		for _, f := range have.Normalize().facts() {
			now[f.key] = f.line
		}
		for _, step := range Diff(have, want).Steps {
			key := keyOf(step.What)
			_, there := now[key]
			require.Equal(t, step.Verb != "add", there, "%s %s", step.Verb, step.What)
			if step.Verb == "remove" {
				delete(now, key)
			} else {
				require.NotEqual(t, now[key], step.What)
				now[key] = step.What
			}
		}
		require.Equal(t, want.Normalize(), stateOf(slices.Collect(maps.Values(now))))
	})
}

// keyOf finds the key of a fact by its text.
func keyOf(line string) string {
	w := strings.Split(line, " ")
	of := strings.Join(w[max(0, len(w)-2):], " ")
	switch w[0] {
	case "port":
		return "port " + w[1] + " " + of
	case "forward":
		listen := v4
		if strings.Contains(w[4], "[") || w[1] == "all" && strings.Contains(w[4], ":") {
			listen = v6
		}
		return "forward " + string(listen) + " " + w[1] + " " + w[2] + " " + of
	case "masquerade":
		return strings.Join(w[:4], " ")
	}
	return line
}
