package xl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/verb"
	"github.com/xenhost/xenhost/xen/xlcfg"
)

// Config implements xen.Configurer.
//
//	xl list -l DOMID
func (d *Driver) Config(ctx context.Context, id uuid.UUID) (spec xen.Spec, err error) {
	err = d.verbs.On(ctx, "config", id.String(), id, func() error {
		dom, err := d.lookup(ctx, id)
		if err == nil {
			spec, err = d.config(ctx, dom)
		}
		return err
	})
	return spec, err
}

func (d *Driver) config(ctx context.Context, dom xen.Domain) (xen.Spec, error) {
	a := d.run(ctx, d.opts.Limits.Query, "xl", "list", "-l", strconv.Itoa(dom.ID))
	if a.err != nil {
		return xen.Spec{}, a.failure()
	}
	found, err := parseConfigs(a.stdout)
	if err != nil {
		return xen.Spec{}, err
	}
	spec, ok := found[dom.ID]
	switch {
	case !ok: // xl leaves out what it can not read
		return xen.Spec{}, explain(a.stderr, fmt.Errorf("xl does not show the configuration of domid %d: %w", dom.ID, fs.ErrNotExist))
	case spec.UUID != dom.UUID:
		return xen.Spec{}, fmt.Errorf("domid %d is another domain by now: %w", dom.ID, fs.ErrNotExist)
	}
	return spec, nil
}

// UpdateConfig implements xen.Configurer. Disks must lie below /dev.
//
//	xl config-update DOMID FILE
func (d *Driver) UpdateConfig(ctx context.Context, spec xen.Spec) error {
	text, err := xlcfg.Render(spec)
	if err != nil {
		return verb.Wrap("update config", spec.Name, err)
	}
	return d.onLive(ctx, "update config", spec.UUID, func(dom xen.Domain) error {
		if spec.Name != dom.Name {
			return &xen.FieldError{Field: "name", Value: spec.Name, Why: "is not its name; use Rename"}
		}
		file, err := d.writeConfig(spec.UUID, text)
		if err != nil {
			return err
		}
		defer os.Remove(file)
		a := d.run(ctx, d.opts.Limits.Query, "xl", "config-update", strconv.Itoa(dom.ID), file)
		if a.err != nil {
			return a.failure()
		}
		if !strings.Contains(a.stderr, fmt.Sprintf("setting dom%d configuration", dom.ID)) {
			return explain(a.stderr, errors.New("xl does not say that it has set it"))
		}
		d.verbs.Log.InfoContext(ctx, "domain's next configuration set", "uuid", spec.UUID, "domid", dom.ID)
		return nil
	})
}
