package diskratetest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/shaping/diskrate"
	"github.com/xenhost/xenhost/shaping/diskrate/diskratetest"
)

func TestFake(t *testing.T) {
	diskratetest.TestManager(t, func(*testing.T) diskratetest.Site {
		f := diskratetest.New("/dev/guests/web1", "/dev/guests/db1")
		return diskratetest.Site{
			Manager: f, Paths: [2]string{"/dev/guests/web1", "/dev/guests/db1"},
			IDs:   [2]diskrate.Device{{Major: 253, Minor: 0}, {Major: 253, Minor: 1}},
			Begin: func(_ *testing.T, name string) { f.Begin(name) },
			End:   func(_ *testing.T, name string) { f.End(name) },
		}
	})
}

func TestFakeUnsupported(t *testing.T) {
	f := diskratetest.New("/dev/guests/web1")
	f.Unsupported = true
	require.ErrorIs(t, f.Set(t.Context(), "/dev/guests/web1", diskrate.Limit{ReadOps: 9}), errors.ErrUnsupported)
	require.NoError(t, f.Set(t.Context(), "/dev/guests/web1", diskrate.Limit{}))
	require.NoError(t, f.Refresh(t.Context()))
	_, err := f.Read(t.Context())
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

// A guest's volume is limited before the guest starts; its thread is taken in
// when it has come.
func Example() {
	ctx := context.Background()
	host := diskratetest.New("/dev/guests/web1") // diskrate.New(nil) on a dom0
	show := func() {
		s, _ := host.Read(ctx)
		fmt.Println(s.Limits, s.Loose)
	}
	if err := host.Set(ctx, "/dev/guests/web1", diskrate.Limit{ReadBytes: 50 << 20, WriteOps: 500}); err != nil {
		fmt.Println(err)
	}
	host.Begin("7.xvda-0") // domain 7 connects its disk
	show()
	if err := host.Refresh(ctx); err != nil { // what diskrate.Linux.Keep does
		fmt.Println(err)
	}
	show()
	// Output:
	// map[253:0:rbps=52428800 wiops=500] [7.xvda-0]
	// map[253:0:rbps=52428800 wiops=500] []
}
