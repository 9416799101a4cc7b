package migratetest

import (
	"context"

	"github.com/xenhost/xenhost/migrate"
)

// peers are all the other hosts: a boot asks those that are on and not cut off.
func (m *Machine) peers() *migrate.Peers {
	p := &migrate.Peers{}
	for _, name := range m.world.opts.Names {
		if name != m.Name {
			p.Hosts = append(p.Hosts, migrate.Peer{Name: name, Dial: func(ctx context.Context) (*migrate.Remote, error) {
				return m.world.Dial(ctx, m.Name, name)
			}})
		}
	}
	return p
}
