package libvirt

import (
	"context"
	"errors"

	rpc "github.com/digitalocean/go-libvirt"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/verb"
)

var _ xen.Featurer = (*Driver)(nil)

// Features implements xen.Featurer. Live is empty: guests under libvirt move
// cold. What is missing is found by asking for it where it can do nothing: of a
// domain that does not exist, and by XML that is none.
func (d *Driver) Features(ctx context.Context) (f xen.Features, err error) {
	p, err := d.platform(ctx)
	if err == nil {
		f.Types = p.types()
		f.Missing, err = d.missing(ctx)
	}
	if err != nil {
		return xen.Features{}, verb.Wrap("features", "", err)
	}
	return f, nil
}

// nobody is a domain that no host has: UUIDs of version 0 are not given out.
func nobody() rpc.Domain {
	return rpc.Domain{Name: "nobody", UUID: rpc.UUID{15: 1}, ID: notRunning}
}

func (d *Driver) missing(ctx context.Context) (verbs []string, err error) {
	paused, err := d.startsPaused(ctx)
	if err != nil {
		return nil, err
	}
	if !paused {
		verbs = append(verbs, "create paused")
	}
	for _, verb := range []struct {
		name string
		ask  func(l *rpc.Libvirt) error
	}{
		{"rename", func(l *rpc.Libvirt) error {
			_, err := l.DomainRename(nobody(), rpc.OptString{"nobody2"}, 0)
			return err
		}},
		{"set memory", func(l *rpc.Libvirt) error {
			return l.DomainSetMemoryFlags(nobody(), 1, uint32(rpc.DomainMemLive))
		}},
		{"set vcpus", func(l *rpc.Libvirt) error {
			return l.DomainSetVcpusFlags(nobody(), 1, uint32(rpc.DomainVCPULive))
		}},
		{"pin", func(l *rpc.Libvirt) error { return l.DomainPinVcpu(nobody(), 0, []byte{1}) }},
		{"set share", func(l *rpc.Libvirt) error {
			return l.DomainSetSchedulerParametersFlags(nobody(), shareParams(xen.Share{Weight: 1}), 0)
		}},
	} {
		err := d.call(ctx, d.opts.Limits.Query, verb.ask)
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			verbs = append(verbs, verb.name)
		case codeOf(err) == rpc.ErrOk && err != nil:
			return nil, err // not the daemon's answer
		}
	}
	return verbs, nil
}

// startsPaused reports whether the host knows VIR_DOMAIN_START_PAUSED: libvirt
// looks at the flags before it looks at the XML.
func (d *Driver) startsPaused(ctx context.Context) (bool, error) {
	err := d.start(ctx, "<nothing/>", true)
	switch code := codeOf(err); code {
	case rpc.ErrInvalidArg, rpc.ErrNoSupport:
		return false, nil
	case rpc.ErrOk:
		return false, err
	}
	return true, nil
}
