package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/xenhost/xenhost/xen/dom0"
)

// output runs a command that lists; a tool that is not there says nothing.
func (r *reader) output(ctx context.Context, argv ...string) (string, error) {
	out, err := dom0.Output(ctx, r.run, argv...)
	if err != nil && isMissing(err) {
		return "", nil
	}
	return string(out), err
}

// isMissing: there is no such command. The words are Go's own (exec.ErrNotFound).
func isMissing(err error) bool {
	var failed *dom0.Error
	return errors.As(err, &failed) && failed.ExitCode == -1 && strings.Contains(err.Error(), "executable file not found")
}

// variant reads "iptables v1.8.9 (nf_tables)".
func (r *reader) variant(ctx context.Context) (string, error) {
	out, err := r.output(ctx, "iptables", "--version")
	if err != nil || out == "" {
		return "", err
	}
	return variantOf(out), nil
}

func variantOf(version string) string {
	_, rest, ok := strings.Cut(version, "(")
	word, _, closed := strings.Cut(rest, ")")
	if !ok || !closed {
		return "legacy" // iptables before 1.8 has but one
	}
	return word
}

func (r *reader) nftTables(ctx context.Context) ([]string, error) {
	out, err := r.output(ctx, "nft", "-j", "list", "tables")
	if err != nil || out == "" {
		return nil, err
	}
	return tablesOf([]byte(out))
}

func tablesOf(text []byte) ([]string, error) {
	var doc struct {
		NFTables []struct {
			Table *struct{ Family, Name string }
		} `json:"nftables"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("nft's list of tables: %w", err)
	}
	var out []string
	for _, o := range doc.NFTables {
		if o.Table != nil {
			out = append(out, o.Table.Family+" "+o.Table.Name)
		}
	}
	return out, nil
}

// forwardPolicy reads "-P FORWARD DROP".
func (r *reader) forwardPolicy(ctx context.Context) (string, error) {
	out, err := r.output(ctx, "iptables", "-S", "FORWARD")
	if err != nil {
		return "", err
	}
	return policyOf(out), nil
}

func policyOf(listing string) string {
	for line := range strings.Lines(listing) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "-P" && f[1] == "FORWARD" {
			return f[2]
		}
	}
	return ""
}
