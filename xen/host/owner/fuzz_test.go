package owner

import (
	"os"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// FuzzRecord: whatever is in a record, it is of its guest or an error, and only
// the states that say so let a guest run.
func FuzzRecord(f *testing.F) {
	id := uuid.MustParse("7f3a0c1e-0000-4000-8000-000000000001")
	f.Add([]byte(`{"uuid":"7f3a0c1e-0000-4000-8000-000000000001","epoch":1,"state":"running"}`))
	f.Add([]byte(`{"uuid":"7f3a0c1e-0000-4000-8000-000000000001","state":"no such state"}`))
	f.Add([]byte(`{"uuid":"00000000-0000-4000-8000-000000000001"}`))
	f.Add([]byte(`{}`))
	s := NewStore(f.TempDir(), nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		require.NoError(t, os.WriteFile(s.path(id), data, 0o600))
		r, err := s.Get(id)
		if err != nil {
			return
		}
		require.Equal(t, id, r.UUID)
		if r.MayRun() == nil {
			require.Contains(t, []State{Running, Prepared}, r.State)
		}
	})
}
