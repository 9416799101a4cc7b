package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStory(t *testing.T) {
	var story strings.Builder
	rows, err := play(t.Context(), t.TempDir(), &story)
	require.NoError(t, err)
	require.Len(t, rows, 3)
	for i, want := range []row{
		{Guest: "web1", Host: "islay", Forward: "islay:8081 -> 192.168.1.1:80"},
		{Guest: "db1", Host: "curacao", Forward: "curacao:8082 -> 192.168.1.2:80"},
		{Guest: "mail1", Host: "curacao", Forward: "curacao:8083 -> 192.168.1.3:80"},
	} {
		assert.Positive(t, rows[i].Records)
		want.State, want.Records = "running", rows[i].Records
		assert.Equal(t, want, rows[i])
	}
	for _, part := range []string{
		"cut-over: until here every failure leaves web1 on curacao",
		`the mover is killed before "commit on islay"`,
		"Could curacao start it now?  No:", "it was handed to islay (epoch 2)",
		"Could islay start it now?  No:",
		"Resume, called on islay: curacao gave it up and islay has all of it, so the guest is on islay.",
	} {
		assert.Contains(t, story.String(), part)
	}
}
