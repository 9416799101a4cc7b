package xentest_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/xentest"
)

func TestCheck(t *testing.T) {
	f := xentest.New(&xentest.Options{Memory: 300 << 20})
	runs := xen.Spec{Name: "web1", UUID: uuid.New(), Type: xen.PVH, Memory: 128 << 20, VCPUs: 1, Kernel: "/boot/vmlinuz"}
	_, err := f.Create(t.Context(), runs, nil)
	require.NoError(t, err)
	spec := runs.Clone()
	spec.Name, spec.UUID = "web2", uuid.New()
	require.NoError(t, f.Check(t.Context(), spec))
	spec.Memory = 256 << 20
	require.ErrorIs(t, f.Check(t.Context(), spec), xen.ErrNoMemory)
	_, err = f.Create(t.Context(), spec, nil)
	require.ErrorIs(t, err, xen.ErrNoMemory, "Create says the same")
	spec.Name = "web1"
	require.ErrorIs(t, f.Check(t.Context(), spec), fs.ErrExist)
	require.ErrorIs(t, f.Check(t.Context(), runs), fs.ErrExist)
	spec.Name = "-x"
	require.ErrorIs(t, f.Check(t.Context(), spec), xen.ErrInvalid)
	boom := errors.New("no such bridge")
	f.Fail("check", boom)
	require.ErrorIs(t, f.Check(t.Context(), spec), boom)
}
