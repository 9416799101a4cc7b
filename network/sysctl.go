package network

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	ipForward  = "/proc/sys/net/ipv4/ip_forward"
	ip6Forward = "/proc/sys/net/ipv6/conf/all/forwarding"
	acceptRA   = "/proc/sys/net/ipv6/conf/*/accept_ra"
)

// forwardPackets lets the host pass packets on, if the book has need of it:
//
//	sysctl net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
func (l *Linux) forwardPackets(b *book) error {
	if b.uses(v4) {
		if err := l.switchOn(ipForward); err != nil {
			return err
		}
	}
	if !b.uses(v6) {
		return nil
	}
	on, err := isOn(ip6Forward)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("IPv6 is off in this kernel: %w", errors.ErrUnsupported)
	}
	if on || err != nil {
		return err
	}
	if err := l.keepRouters(); err != nil {
		return err
	}
	return l.switchOn(ip6Forward)
}

// keepRouters lets dom0 go on listening to router advertisements where it does
// (accept_ra 1 becomes 2): a host that forwards would not, and its own default
// route would run out after half an hour.
func (l *Linux) keepRouters() error {
	files, err := filepath.Glob(acceptRA)
	if err != nil {
		return err
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the interface went away
		}
		if err != nil {
			return err
		}
		if strings.TrimSpace(string(b)) != "1" {
			continue
		}
		l.log.Info("network", "verb", "change", "what", file+" is now 2")
		if err := os.WriteFile(file, []byte("2\n"), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (l *Linux) switchOn(file string) error {
	if on, err := isOn(file); on || err != nil {
		return err
	}
	l.log.Info("network", "verb", "change", "what", file+" is now 1")
	if err := os.WriteFile(file, []byte("1\n"), 0); err != nil {
		return err
	}
	if on, err := isOn(file); err != nil || !on {
		return errors.Join(fmt.Errorf("%s is still 0", file), err)
	}
	return nil
}

func isOn(file string) (bool, error) {
	b, err := os.ReadFile(file)
	return strings.TrimSpace(string(b)) == "1", err
}
