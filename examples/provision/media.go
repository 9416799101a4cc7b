package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/image"
	"github.com/xenhost/xenhost/xen/host/seed"
)

// media is what the guest's disks are made from.
type media struct {
	path, format, sum string
	partition         int
	hostname          string
	keys              []string
	closers           []func()
}

func (m *media) flags(f *pflag.FlagSet) {
	f.StringVar(&m.path, "image", "", "image for the start of the volume; - is stdin, raw")
	f.StringVar(&m.format, "format", string(image.Raw), "of the image: raw or qcow2; it is never guessed")
	f.StringVar(&m.sum, "sha256", "", "of the image, 64 hexadecimal digits")
	f.IntVar(&m.partition, "partition", 0, "take this partition of the image alone")
	f.StringVar(&m.hostname, "hostname", "", "make a seed for cloud-init, on xvdp, with this host name")
	f.StringArrayVar(&m.keys, "ssh-key", nil, "file with public keys for the seed; may be repeated")
}

// open gives opts the images of the guest's disks, and the guest its seed.
func (m *media) open(ctx context.Context, g *host.Guest, opts *host.ProvisionOptions) error {
	opts.Images = make(map[string]io.Reader)
	if m.hostname != "" {
		if err := m.seed(g, opts.Images); err != nil {
			return err
		}
	}
	if m.path == "" {
		return nil
	}
	dev := g.Disks[0].Dev
	var size int64
	if m.path == "-" {
		opts.Images[dev] = os.Stdin
		if m.sum != "" {
			r, err := image.Verified(os.Stdin, m.sum)
			if err != nil {
				return cli.UsageError{Err: err}
			}
			opts.Images[dev] = r
		}
	} else {
		path, err := filepath.Abs(m.path)
		if err != nil {
			return err
		}
		img, err := image.Open(ctx, image.Source{Path: path, Format: image.Format(m.format), SHA256: m.sum, Partition: m.partition})
		if err != nil {
			return err
		}
		m.closers = append(m.closers, func() { _ = img.Close() })
		opts.Images[dev], size = img, img.Size()
	}
	bar := cli.NewBar(os.Stderr, "image", size)
	m.closers = append(m.closers, bar.Done)
	opts.Progress = func(of string, done int64) {
		if of == dev {
			bar.Set(done)
		}
	}
	return nil
}

func (m *media) seed(g *host.Guest, images map[string]io.Reader) error {
	s := seed.Seed{Hostname: m.hostname}
	for _, file := range m.keys {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				s.Keys = append(s.Keys, line)
			}
		}
	}
	iso, err := s.ISO(g.UUID.String())
	if err != nil {
		return cli.UsageError{Err: err}
	}
	g.Disks = append(g.Disks, seed.Disk("xvdp", g.Disks[0].Volume, iso))
	images["xvdp"] = bytes.NewReader(iso)
	return nil
}

func (m *media) close() {
	for _, c := range m.closers {
		c()
	}
}
