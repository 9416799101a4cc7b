package xenlab

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/xenhost/xenhost/xen/dom0"
)

// Put copies a file, or what is in a folder, to dst in the host's dom0.
// Folders on the way are made. Modes are kept, owners are root.
func (h *Host) Put(ctx context.Context, src, dst string) error {
	return h.unpack(ctx, dst, func(t *tar.Writer) error { return pack(t, src, dst) })
}

// Write makes a file in the host's dom0.
func (h *Host) Write(ctx context.Context, dst string, data []byte, mode fs.FileMode) error {
	return h.unpack(ctx, dst, func(t *tar.Writer) error {
		header := tar.Header{Typeflag: tar.TypeReg, Name: inTar(dst), Mode: int64(mode.Perm()), Size: int64(len(data)), ModTime: time.Now()}
		if err := t.WriteHeader(&header); err != nil {
			return err
		}
		_, err := t.Write(data)
		return err
	})
}

// Get copies a file of the host's dom0 to dst here. A device is copied by its content.
func (h *Host) Get(ctx context.Context, src, dst string) error {
	f, err := os.Create(dst)
	if err != nil {
		return err
	}
	defer f.Close()
	r, w := io.Pipe()
	go func() {
		w.CloseWithError(h.Runner().Run(ctx, dom0.Cmd{Args: []string{"gzip", "-1", "-n", "-c", "-f", "--", src}, Stdout: w}))
	}()
	defer r.Close()
	z, err := gzip.NewReader(r)
	if err != nil {
		return fmt.Errorf("lab: get %s: %w", src, err)
	}
	if _, err := io.Copy(f, z); err != nil {
		return fmt.Errorf("lab: get %s: %w", src, err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil { // how the command ended
		return fmt.Errorf("lab: get %s: %w", src, err)
	}
	return f.Close()
}

// Read returns what is in a file of the host's dom0.
func (h *Host) Read(ctx context.Context, src string) ([]byte, error) {
	return h.Run(ctx, "cat", "--", src)
}

// unpack sends what fill packs through tar in dom0.
func (h *Host) unpack(ctx context.Context, dst string, fill func(*tar.Writer) error) error {
	if !path.IsAbs(dst) {
		return fmt.Errorf("lab: put %s: %w: not an absolute path", dst, fs.ErrInvalid)
	}
	r, w := io.Pipe()
	go func() {
		z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
		t := tar.NewWriter(z)
		err := fill(t)
		for _, c := range []io.Closer{t, z} {
			if e := c.Close(); err == nil {
				err = e
			}
		}
		w.CloseWithError(err)
	}()
	defer r.Close()
	err := h.Runner().Run(ctx, dom0.Cmd{Args: []string{"tar", "-xzf", "-", "--no-same-owner", "-C", "/"}, Stdin: r})
	if err != nil {
		return fmt.Errorf("lab: put %s: %w", dst, err)
	}
	return nil
}

func pack(t *tar.Writer, src, dst string) error {
	return filepath.WalkDir(src, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, name)
		if err != nil {
			return err
		}
		header := tar.Header{Name: inTar(path.Join(dst, filepath.ToSlash(rel))), Mode: int64(info.Mode().Perm()), ModTime: info.ModTime()}
		if info.IsDir() {
			header.Typeflag = tar.TypeDir
			return t.WriteHeader(&header)
		}
		header.Typeflag, header.Size = tar.TypeReg, info.Size()
		if err := t.WriteHeader(&header); err != nil {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(t, f)
		return err
	})
}

// inTar is an absolute path as tar has it.
func inTar(p string) string { return path.Clean(p)[1:] }
