package stats_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/stats"
)

// list is a lister that knows some domains.
type list []xen.Domain

func (l list) List(context.Context) ([]xen.Domain, error) {
	if l == nil {
		return nil, errors.New("xl is tired")
	}
	return l, nil
}

func (l list) Lookup(context.Context, uuid.UUID) (xen.Domain, error) { return xen.Domain{}, nil }

// dom0 has the files of a real dom0: its vbd is that of a PV guest on Xen 4.17,
// its vif what ip -s link said of it. vif-1-1 and vbd-1-51728 are not connected
// yet, and vif-9-0 is of a domain that is not listed.
const dom0 = "testdata/dom0"

var web1 = xen.Domain{UUID: uuid.UUID{1}, ID: 1, State: xen.Running, Memory: 128 << 20, VCPUs: 1, CPUTime: 15*time.Second + 7}

func TestRead(t *testing.T) {
	before := time.Now()
	s, err := stats.Read(t.Context(), list{web1, {ID: 2}}, &stats.Options{Root: dom0})
	require.NoError(t, err)
	assert.WithinRange(t, s.Time, before, time.Now())
	assert.Equal(t, []stats.Domain{
		{
			Domain: web1,
			Vifs: []stats.Vif{
				{Index: 0, Name: "web1.0", UploadBytes: 600, UploadPackets: 9, DownloadBytes: 946, DownloadPackets: 11},
				{Index: 1},
			},
			Vbds: []stats.Vbd{{Number: 51712, ReadBytes: 50 * 512, ReadOps: 16, WriteBytes: 8342 * 512, WriteOps: 80, Flushes: 14}},
		},
		{Domain: xen.Domain{ID: 2}},
	}, s.Domains)
}

func TestReadFails(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.CopyFS(root, os.DirFS(dom0)))
	opts := &stats.Options{Root: root}
	_, err := stats.Read(t.Context(), list(nil), opts)
	require.ErrorContains(t, err, "xl is tired")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = stats.Read(ctx, list{web1}, opts)
	require.ErrorIs(t, err, context.Canceled)
	counter := filepath.Join(root, "sys/bus/xen-backend/devices/vbd-1-51712/statistics/rd_req")
	require.NoError(t, os.WriteFile(counter, []byte("many\n"), 0o644))
	_, err = stats.Read(t.Context(), list{web1}, opts)
	require.ErrorContains(t, err, "rd_req")
	require.NoError(t, os.Remove(counter))
	s, err := stats.Read(t.Context(), list{web1}, opts)
	require.NoError(t, err)
	assert.Empty(t, s.Domains[0].Vbds, "half a vbd is none")
	require.NoError(t, os.RemoveAll(filepath.Join(root, "sys")))
	s, err = stats.Read(t.Context(), list{web1}, opts)
	require.NoError(t, err)
	assert.Empty(t, s.Domains[0].Vifs)
	require.NoError(t, os.WriteFile(filepath.Join(root, "proc/net/dev"), []byte("\n\nweb1.0 1 2\n"), 0o644))
	_, err = stats.Read(t.Context(), list{web1}, opts)
	require.ErrorContains(t, err, "/proc/net/dev")
}

// The cost a domain is the same with ten and with a thousand of them.
func BenchmarkRead(b *testing.B) {
	for _, count := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			root, domains := b.TempDir(), list{}
			devices := filepath.Join(root, "sys/bus/xen-backend/devices")
			net := "\n\n"
			for i := range count {
				domains = append(domains, xen.Domain{ID: i + 1})
				vif, vbd := fmt.Sprintf("vif-%d-0", i+1), fmt.Sprintf("vbd-%d-51712", i+1)
				require.NoError(b, os.MkdirAll(filepath.Join(devices, vif, "net", vif), 0o755))
				require.NoError(b, os.CopyFS(filepath.Join(devices, vbd), os.DirFS(dom0+"/sys/bus/xen-backend/devices/vbd-1-51712")))
				net += vif + ": 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
			}
			require.NoError(b, os.MkdirAll(filepath.Join(root, "proc/net"), 0o755))
			require.NoError(b, os.WriteFile(filepath.Join(root, "proc/net/dev"), []byte(net), 0o600))
			for b.Loop() {
				_, err := stats.Read(b.Context(), domains, &stats.Options{Root: root})
				require.NoError(b, err)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count), "ns/domain")
		})
	}
}

func TestDev(t *testing.T) {
	for number, dev := range map[int]string{51712: "xvda", 51728: "xvdb", 51952: "xvdp", 51713: "", 768: "", 268439552: ""} {
		assert.Equal(t, dev, stats.Vbd{Number: number}.Dev(), number)
	}
}

func Example() {
	sample, err := stats.Read(context.Background(), list{web1}, &stats.Options{Root: "testdata/dom0"}) // in a dom0: privcmd.Open, and nil
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, d := range sample.Domains {
		fmt.Printf("domid %d: CPU %v, memory %d MiB\n", d.ID, d.CPUTime, d.Memory>>20)
		fmt.Printf("  %s: sent %d bytes, got %d\n", d.Vifs[0].Name, d.Vifs[0].UploadBytes, d.Vifs[0].DownloadBytes)
		fmt.Printf("  %s: read %d bytes, wrote %d\n", d.Vbds[0].Dev(), d.Vbds[0].ReadBytes, d.Vbds[0].WriteBytes)
	}
	// Output:
	// domid 1: CPU 15.000000007s, memory 128 MiB
	//   web1.0: sent 600 bytes, got 946
	//   xvda: read 25600 bytes, wrote 4271104
}
