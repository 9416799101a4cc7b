package migrate

import (
	"context"
	"fmt"

	"github.com/xenhost/xenhost/migrate/handover"
)

// sameShared makes sure, while nobody writes, that both hosts see one and the
// same content behind the paths of the guest's shared disks. A path that leads
// to another disk on the target would be a guest without its data.
func (m *move) sameShared(ctx context.Context) error {
	for _, d := range m.plan.Guest.Shared {
		if err := m.pair.Do(handover.Verify, m.pair.Target, d.Dev, func() error {
			there, err := m.pair.Target.Sample(ctx, d.Dev)
			if err != nil {
				return err
			}
			here, err := m.pair.Source.Sample(ctx, d.Dev)
			if err == nil && here != there {
				err = fmt.Errorf("%w: %s is another disk, or has another content, on %s than on %s", ErrDiffers, d.Path, m.plan.To, m.plan.From)
			}
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}
