package image_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskfs/go-diskfs/backend"
	"github.com/diskfs/go-diskfs/partition/gpt"
	"github.com/diskfs/go-diskfs/partition/mbr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/host/image"
)

// disk is 5 MiB and an odd sector: noise, text and zeros.
func disk() []byte {
	b := make([]byte, 5<<20+512)
	noise := rand.NewChaCha8([32]byte{1})
	_, _ = noise.Read(b[70_000 : 1<<20])
	copy(b[3<<20:], strings.Repeat("golden image ", 20_000))
	_, _ = noise.Read(b[5<<20:])
	return b
}

func write(t *testing.T, name string, content []byte) (path, sum string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path, fmt.Sprintf("%x", sha256.Sum256(content))
}

func read(t *testing.T, s image.Source) ([]byte, error) {
	t.Helper()
	img, err := image.Open(t.Context(), s)
	if err != nil {
		return nil, err
	}
	defer img.Close()
	b, err := io.ReadAll(img)
	if err == nil {
		assert.EqualValues(t, len(b), img.Size())
	}
	return b, err
}

// qemuImg runs it, which every machine of the lab has.
func qemuImg(t *testing.T, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skip("no qemu-img to make images with (Debian: qemu-utils)")
	}
	_, err := dom0.Output(t.Context(), dom0.Local{}, append([]string{"qemu-img"}, args...)...)
	require.NoError(t, err)
}

func TestRaw(t *testing.T) {
	path, sum := write(t, "a.raw", disk())
	for _, s := range []image.Source{{Path: path, Format: image.Raw}, {Path: path, Format: image.Raw, SHA256: sum}} {
		b, err := read(t, s)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(disk(), b))
	}
	b, err := read(t, image.Source{Path: path, Format: image.Raw, SHA256: strings.Repeat("00", 32)})
	require.ErrorIs(t, err, image.ErrDigest)
	require.ErrorContains(t, err, sum)
	assert.Len(t, b, len(disk()), "it is known at the end")
}

func TestRefused(t *testing.T) {
	path, sum := write(t, "a.raw", disk())
	for name, c := range map[string]struct {
		s    image.Source
		want error
	}{
		"no format":        {image.Source{Path: path}, image.ErrInvalid},
		"unknown format":   {image.Source{Path: path, Format: "vmdk"}, image.ErrInvalid},
		"raw as qcow2":     {image.Source{Path: path, Format: image.Qcow2}, image.ErrInvalid},
		"relative":         {image.Source{Path: "a.raw", Format: image.Raw}, image.ErrInvalid},
		"way out":          {image.Source{Path: filepath.Dir(path) + "/../x/a.raw", Format: image.Raw}, image.ErrInvalid},
		"no file":          {image.Source{Path: path + "x", Format: image.Raw}, fs.ErrNotExist},
		"a folder":         {image.Source{Path: filepath.Dir(path), Format: image.Raw}, image.ErrInvalid},
		"a device":         {image.Source{Path: "/dev/null", Format: image.Raw}, image.ErrInvalid},
		"half a digest":    {image.Source{Path: path, Format: image.Raw, SHA256: sum[:32]}, image.ErrInvalid},
		"no table":         {image.Source{Path: path, Format: image.Raw, Partition: 1}, fs.ErrNotExist},
		"digest, qcow2":    {image.Source{Path: path, Format: image.Qcow2, SHA256: strings.Repeat("0", 64)}, image.ErrDigest},
		"digest before it": {image.Source{Path: path, Format: image.Raw, Partition: 1, SHA256: strings.Repeat("0", 64)}, image.ErrDigest},
	} {
		_, err := image.Open(t.Context(), c.s)
		require.ErrorIs(t, err, c.want, name)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := image.Open(ctx, image.Source{Path: path, Format: image.Qcow2, SHA256: sum})
	require.ErrorIs(t, err, context.Canceled)
}

// What qemu-img makes of a disk reads as that disk.
func TestQcow2(t *testing.T) {
	raw, _ := write(t, "a.raw", disk())
	for _, options := range []string{"compat=0.10", "compat=1.1", "cluster_size=512", "cluster_size=2M", "lazy_refcounts=on", "preallocation=full", "compress", "compress,compression_type=zstd", "compress,cluster_size=4096"} {
		t.Run(options, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "a.qcow2")
			args := []string{"convert", "-f", "raw", "-O", "qcow2"}
			rest, packed := strings.CutPrefix(options, "compress")
			if packed && !strings.HasPrefix(options, "compression") {
				args = append(args, "-c")
				options = strings.TrimPrefix(rest, ",")
			}
			if options != "" {
				args = append(args, "-o", options)
			}
			qemuImg(t, append(args, raw, out)...)
			content, err := os.ReadFile(out)
			require.NoError(t, err)
			b, err := read(t, image.Source{Path: out, Format: image.Qcow2, SHA256: fmt.Sprintf("%x", sha256.Sum256(content))})
			require.NoError(t, err)
			assert.True(t, bytes.Equal(disk(), b))

			// As raw it is what it is: nothing looks into it.
			b, err = read(t, image.Source{Path: out, Format: image.Raw})
			require.NoError(t, err)
			assert.True(t, bytes.Equal(content, b))

			// A file that is cut short is an error somewhere, never a shorter disk.
			short, _ := write(t, "short", content[:len(content)/2])
			_, err = read(t, image.Source{Path: short, Format: image.Qcow2})
			require.ErrorIs(t, err, image.ErrInvalid)
		})
	}
}

// A qcow2 image leads to no other file, whatever it is called.
func TestBackingFiles(t *testing.T) {
	secret, _ := write(t, "shadow", bytes.Repeat([]byte("secret"), 1000))
	over := filepath.Join(t.TempDir(), "over.qcow2")
	qemuImg(t, "create", "-q", "-f", "qcow2", "-b", secret, "-F", "raw", over, "1M")
	_, err := image.Open(t.Context(), image.Source{Path: over, Format: image.Qcow2})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorContains(t, err, "backing file")
	b, err := read(t, image.Source{Path: over, Format: image.Raw})
	require.NoError(t, err)
	assert.NotContains(t, string(b), "secretsecret")

	apart := filepath.Join(t.TempDir(), "apart.qcow2")
	qemuImg(t, "create", "-q", "-f", "qcow2", "-o", "data_file="+secret+".raw,data_file_raw=on", apart, "1M")
	_, err = image.Open(t.Context(), image.Source{Path: apart, Format: image.Qcow2})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	wide := filepath.Join(t.TempDir(), "wide.qcow2")
	qemuImg(t, "create", "-q", "-f", "qcow2", "-o", "extended_l2=on", wide, "1M")
	_, err = image.Open(t.Context(), image.Source{Path: wide, Format: image.Qcow2})
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

func TestPartition(t *testing.T) {
	type table interface {
		Write(f backend.WritableFile, size int64) error
	}
	for label, parts := range map[string]table{
		"gpt": &gpt.Table{LogicalSectorSize: 512, PhysicalSectorSize: 512, ProtectiveMBR: true, Partitions: []*gpt.Partition{
			{Index: 1, Start: 2048, End: 4095, Type: gpt.LinuxFilesystem}, {Index: 2, Start: 6144, End: 10239, Type: gpt.LinuxFilesystem}}},
		"mbr": &mbr.Table{LogicalSectorSize: 512, PhysicalSectorSize: 512, Partitions: []*mbr.Partition{
			{Index: 1, Type: mbr.Linux, Start: 2048, Size: 2048}, {Index: 2, Type: mbr.Linux, Start: 6144, Size: 4096}}},
	} {
		t.Run(label, func(t *testing.T) {
			raw, _ := write(t, "a.raw", make([]byte, 8<<20))
			f, err := os.OpenFile(raw, os.O_RDWR, 0)
			require.NoError(t, err)
			require.NoError(t, parts.Write(f, 8<<20))
			_, err = f.WriteAt([]byte("second"), 6144*512)
			require.NoError(t, err)
			require.NoError(t, f.Close())
			b, err := read(t, image.Source{Path: raw, Format: image.Raw, Partition: 2})
			require.NoError(t, err)
			assert.Len(t, b, 4096*512)
			assert.True(t, bytes.HasPrefix(b, []byte("second")))
			_, err = read(t, image.Source{Path: raw, Format: image.Raw, Partition: 3})
			require.ErrorIs(t, err, fs.ErrNotExist)
			q := filepath.Join(t.TempDir(), "a.qcow2")
			qemuImg(t, "convert", "-c", "-f", "raw", "-O", "qcow2", raw, q)
			packed, err := read(t, image.Source{Path: q, Format: image.Qcow2, Partition: 2})
			require.NoError(t, err)
			assert.True(t, bytes.Equal(b, packed))
		})
	}
}
