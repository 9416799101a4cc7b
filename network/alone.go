package network

import (
	"context"
	"fmt"
	"strings"
)

// alone refuses to work beside rules of ours that another firewall made: both
// would be in force, and only one would be seen. It looks again whenever
// somebody may have made some.
func (l *Linux) alone(ctx context.Context) error {
	t, isIPTables := l.backend.(*iptables)
	refuse := func(where string) error {
		return fmt.Errorf("%s has rules of ours, but this is to work with another firewall: %w", where, ErrForeign)
	}
	if !isIPTables || !t.legacy {
		used, err := legacyTables()
		if err != nil {
			return err
		}
		if used {
			text, err := l.output(ctx, "iptables-legacy-save")
			if err != nil {
				return err
			}
			if strings.Contains(text, "\n:"+chainPrefix) {
				return refuse("iptables-legacy")
			}
		}
	}
	now, err := generation()
	if err != nil || now == l.apart || l.memory != nil && now == l.memory.stamp {
		return err
	}
	if !isIPTables || t.legacy {
		if ours, err := hasOurChains(); err != nil {
			return err
		} else if ours {
			return refuse("iptables-nft")
		}
	}
	if isIPTables {
		if ours, err := hasOurTable(); err != nil {
			return err
		} else if ours {
			return refuse("nft")
		}
	}
	l.apart = now
	return nil
}
