package libvirt

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func capabilitiesXML(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("testdata/capabilities-pv.xml")
	require.NoError(t, err)
	return string(text)
}
