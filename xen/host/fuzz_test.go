package host

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// FuzzDefinition: whatever a power failure or a hand left in a definition, it is
// read as the guest that it is of, or refused.
func FuzzDefinition(f *testing.F) {
	id := uuid.MustParse("7f3a0c1e-0000-4000-8000-000000000001")
	f.Add([]byte(`{"format":1,"guest":{"uuid":"7f3a0c1e-0000-4000-8000-000000000001","name":"web1","nics":[{"mac":"00:16:3e:00:00:01","addresses":["192.168.0.10"]}]}}`))
	f.Add([]byte(`{"format":2,"guest":{}}`))
	f.Add([]byte(`{"format":1,"guest":{"uuid":"00000000-0000-4000-8000-000000000001"}}`))
	f.Add([]byte("\x00\x00"))
	d := definitions{dir: f.TempDir()}
	f.Fuzz(func(t *testing.T, data []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(d.dir, id.String()+string(own)), data, 0o600))
		g, err := d.get(id, own)
		if err != nil {
			return
		}
		require.Equal(t, id, g.UUID)
		_ = g.Validate() // may refuse it, and may not panic
	})
}
