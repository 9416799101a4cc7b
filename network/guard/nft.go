package guard

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/xenhost/xenhost/xen/dom0"
)

// nft runs one transaction.
func (l *Linux) nft(ctx context.Context, script string) error {
	return l.runner.Run(ctx, dom0.Cmd{Args: l.argv("-f", "-"), Stdin: strings.NewReader(script)})
}

func (l *Linux) argv(args ...string) []string {
	argv := append([]string{"nft"}, args...)
	if l.netns != "" {
		argv = append([]string{"nsenter", "--net=" + l.netns}, argv...)
	}
	return argv
}

// list reads our table; without one, the listing is empty.
func (l *Linux) list(ctx context.Context) (listing, error) {
	out, err := dom0.Output(ctx, l.runner, l.argv("-j", "list", "tables", "bridge")...)
	if err != nil {
		return listing{}, err
	}
	var tables struct {
		NFTables []struct {
			Table struct {
				Name string `json:"name"`
			} `json:"table"`
		} `json:"nftables"`
	}
	if err := json.Unmarshal(out, &tables); err != nil {
		return listing{}, fmt.Errorf("nft's list of tables: %w", err)
	}
	for _, t := range tables.NFTables {
		if t.Table.Name == table {
			out, err = dom0.Output(ctx, l.runner, l.argv("-j", "list", "table", "bridge", table)...)
			if err != nil {
				return listing{}, err
			}
			return parse(out)
		}
	}
	return listing{}, nil
}
