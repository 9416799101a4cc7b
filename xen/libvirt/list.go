package libvirt

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"slices"
	"time"

	rpc "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/verb"
)

// notRunning is the ID of a domain that libvirt is about to start.
const notRunning = -1

// List implements xen.Lister. A domain that libvirt builds, or that reboots,
// has no domid yet: it is Building, and its ID is -1.
//
//	virConnectListAllDomains, and for each virDomainGetState, virDomainGetInfo
func (d *Driver) List(ctx context.Context) ([]xen.Domain, error) {
	domains, err := d.list(ctx)
	return domains, verb.Wrap("list", "", err)
}

func (d *Driver) list(ctx context.Context) ([]xen.Domain, error) {
	domains := []xen.Domain{}
	err := d.call(ctx, d.opts.Limits.Query, func(l *rpc.Libvirt) error {
		all, err := names(l)
		if err != nil {
			return err
		}
		for _, one := range all {
			dom, there, err := look(l, one)
			if err != nil {
				return err
			}
			if there {
				domains = append(domains, dom)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(domains, func(a, b xen.Domain) int { return a.ID - b.ID })
	return domains, nil
}

// names lists what libvirt knows, running or not, without dom0.
func names(l *rpc.Libvirt) ([]rpc.Domain, error) {
	all, _, err := l.ConnectListAllDomains(1, 0)
	return slices.DeleteFunc(all, func(d rpc.Domain) bool { return d.ID == 0 || d.UUID == rpc.UUID{} }), err
}

// Lookup implements xen.Lister.
//
//	virDomainLookupByUUID
func (d *Driver) Lookup(ctx context.Context, id uuid.UUID) (xen.Domain, error) {
	found, err := d.lookup(ctx, id)
	return found, verb.Wrap("lookup", id.String(), err)
}

func (d *Driver) lookup(ctx context.Context, id uuid.UUID) (found xen.Domain, err error) {
	if id == uuid.Nil {
		return xen.Domain{}, fs.ErrNotExist // libvirt lists dom0 under it
	}
	there := false
	err = d.call(ctx, d.opts.Limits.Query, func(l *rpc.Libvirt) error {
		one, err := l.DomainLookupByUUID(rpc.UUID(id))
		if err != nil {
			return err
		}
		found, there, err = look(l, one)
		return err
	})
	if err == nil && !there {
		err = fs.ErrNotExist
	}
	if err != nil {
		return xen.Domain{}, err
	}
	return found, nil
}

// look reads one domain. It is not there if it has ended meanwhile, or is only
// a definition.
func look(l *rpc.Libvirt, one rpc.Domain) (dom xen.Domain, there bool, err error) {
	dom = xen.Domain{UUID: uuid.UUID(one.UUID), ID: int(one.ID), Name: one.Name}
	if one.ID == notRunning {
		persistent, err := l.DomainIsPersistent(one)
		if err != nil {
			return xen.Domain{}, false, absent(err)
		}
		dom.State = xen.Building
		return dom, persistent == 0, nil
	}
	state, reason, err := l.DomainGetState(one, 0)
	if err != nil {
		return xen.Domain{}, false, absent(err)
	}
	_, _, memory, vcpus, cpuTime, err := l.DomainGetInfo(one)
	if codeOf(explain(err)) == rpc.ErrInternalError {
		dom.State = xen.Dying // Xen has no such domid any more, and libvirtd has not noticed
		return dom, true, nil
	}
	if err != nil {
		return xen.Domain{}, false, absent(err)
	}
	dom.State, dom.Reason = stateOf(rpc.DomainState(state), reason)
	dom.Memory = wholeMiB(memory)
	dom.VCPUs = int(vcpus)
	dom.CPUTime = time.Duration(min(cpuTime, math.MaxInt64))
	return dom, true, nil
}

// wholeMiB is so many KiB in bytes, without what is less than 1 MiB: a PVH
// domain has some pages beyond its memory, and xl does not show them either.
func wholeMiB(kib uint64) int64 { return int64(min(kib, math.MaxInt64>>10)>>10) << 20 }

// absent turns "no such domain" into nil.
func absent(err error) error {
	if errors.Is(explain(err), fs.ErrNotExist) {
		return nil
	}
	return err
}

// stateOf reads virDomainState and its reason for a domain that has a domid.
// What libvirt calls shut off is then still in Xen: kept, or about to go.
func stateOf(state rpc.DomainState, reason int32) (xen.State, xen.Reason) {
	switch state {
	case rpc.DomainPaused:
		switch rpc.DomainPausedReason(reason) {
		case rpc.DomainPausedMigration, rpc.DomainPausedSave:
			return xen.Suspended, xen.Suspend
		}
		return xen.Paused, ""
	case rpc.DomainShutdown:
		return xen.Stopped, xen.Poweroff
	case rpc.DomainShutoff:
		switch rpc.DomainShutoffReason(reason) {
		case rpc.DomainShutoffShutdown:
			return xen.Stopped, xen.Poweroff
		case rpc.DomainShutoffCrashed:
			return xen.Crashed, xen.Crash
		case rpc.DomainShutoffSaved, rpc.DomainShutoffMigrated:
			return xen.Suspended, xen.Suspend
		}
		return xen.Dying, ""
	case rpc.DomainCrashed:
		return xen.Crashed, xen.Crash
	case rpc.DomainPmsuspended:
		return xen.Suspended, xen.Suspend
	}
	return xen.Running, "" // running, blocked, or no state
}
