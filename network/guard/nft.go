package guard

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
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

// list reads our tables; without any, the listing is empty.
func (l *Linux) list(ctx context.Context) (listing, error) {
	all := newListing()
	out, err := dom0.Output(ctx, l.runner, l.argv("-j", "list", "tables")...)
	if err != nil {
		return all, err
	}
	var tables struct {
		NFTables []struct {
			Table struct {
				Family kind   `json:"family"`
				Name   string `json:"name"`
			} `json:"table"`
		} `json:"nftables"`
	}
	if err := json.Unmarshal(out, &tables); err != nil {
		return all, fmt.Errorf("nft's list of tables: %w", err)
	}
	for _, t := range tables.NFTables {
		if t.Table.Name != table || !slices.Contains(kinds(), t.Table.Family) {
			continue
		}
		one, err := l.listTable(ctx, t.Table.Family)
		if err != nil {
			return all, err
		}
		all.merge(one)
	}
	return all, nil
}

func (l *Linux) listTable(ctx context.Context, k kind) (listing, error) {
	out, err := dom0.Output(ctx, l.runner, l.argv("-j", "list", "table", string(k), table)...)
	if err != nil {
		return listing{}, err
	}
	return parse(k, out)
}
