// Package pty opens the terminal at whose other end xenconsoled or QEMU holds
// the console of a domain.
package pty

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"syscall"

	"golang.org/x/sys/unix"
)

// form is what xenconsoled and QEMU open for a domain. A path from elsewhere is
// opened as root, so nothing else is.
var form = regexp.MustCompile(`^/dev/pts/[0-9]+$`)

// pty is the slave side. The file is not embedded: its WriteTo would go around
// Read.
type pty struct{ f *os.File }

// Open opens the terminal and makes it raw. Read ends with io.EOF when the
// other side is closed, and with os.ErrClosed by Close.
func Open(path string) (io.ReadWriteCloser, error) {
	if !form.MatchString(path) {
		return nil, fmt.Errorf("%q is no terminal", path[:min(len(path), 64)])
	}
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	if err := raw(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return pty{f}, nil
}

// raw takes the line discipline out of the way, as cfmakeraw(3) does.
func raw(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		t, err := unix.IoctlGetTermios(int(fd), unix.TCGETS)
		if err != nil {
			failed = err
			return
		}
		t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
		t.Oflag &^= unix.OPOST
		t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
		t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
		failed = unix.IoctlSetTermios(int(fd), unix.TCSETS, t)
	})
	return errors.Join(err, failed)
}

func (p pty) Read(b []byte) (int, error) {
	n, err := p.f.Read(b)
	if errors.Is(err, syscall.EIO) {
		err = io.EOF
	}
	return n, err
}

func (p pty) Write(b []byte) (int, error) { return p.f.Write(b) }

func (p pty) Close() error { return p.f.Close() }
