package xl_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/dom0/dom0test"
	"github.com/xenhost/xenhost/xen/xl"
)

const (
	oneGuest = "Name                                        ID   Mem VCPUs\tState\tTime(s)                          UUID                            Reason-Code\tSecurity Label\n" +
		"Domain-0                                     0   900     1     r-----       9.8 00000000-0000-0000-0000-000000000000        -                -\n" +
		"web1                                         1   128     1     -b----       4.1 11111111-1111-4111-8111-111111111111        -                -\n"
	info = "host                   : curacao\nnr_cpus                : 1\ntotal_memory           : 2047\nfree_memory            : 1000\nxen_version            : 4.17.7\nvirt_caps              : pv hvm hap\n"
)

// Check sees beforehand what Create would refuse, and runs nothing that
// changes anything.
func TestCheck(t *testing.T) {
	kernel := filepath.Join(t.TempDir(), "vmlinuz")
	require.NoError(t, os.WriteFile(kernel, nil, 0o600))
	d := xl.New(dom0test.Func(func(_ context.Context, cmd dom0.Cmd) error {
		out := map[string]string{"list": oneGuest, "info": info}[cmd.Args[1]]
		require.NotEmpty(t, out, "%v", cmd.Args)
		_, err := cmd.Stdout.Write([]byte(out))
		return err
	}), nil)
	good := xen.Spec{Name: "web2", UUID: uuid.New(), Type: xen.PVH, Memory: 128 << 20, VCPUs: 1, Kernel: kernel}
	require.NoError(t, d.Check(t.Context(), good))
	for name, c := range map[string]struct {
		change func(*xen.Spec)
		means  error
	}{
		"name taken": {func(s *xen.Spec) { s.Name = "web1" }, fs.ErrExist},
		"UUID taken": {func(s *xen.Spec) { s.UUID = uuid.MustParse("11111111-1111-4111-8111-111111111111") }, fs.ErrExist},
		"no memory":  {func(s *xen.Spec) { s.Memory = 1000 << 20 }, xen.ErrNoMemory},
		"no kernel":  {func(s *xen.Spec) { s.Kernel += ".old" }, fs.ErrNotExist},
		"no ramdisk": {func(s *xen.Spec) { s.Ramdisk = kernel + ".img" }, fs.ErrNotExist},
		"no bridge": {func(s *xen.Spec) {
			s.Vifs = []xen.Vif{{Name: "web2.0", Bridge: "xennowhere", MAC: xen.MAC{0, 0x16, 0x3e, 0, 0, 1}}}
		}, fs.ErrNotExist},
		"a name that is none": {func(s *xen.Spec) { s.Name = "7" }, xen.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			spec := good.Clone()
			c.change(&spec)
			require.ErrorIs(t, d.Check(t.Context(), spec), c.means)
		})
	}
}
