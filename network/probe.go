package network

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"

	goiptables "github.com/coreos/go-iptables/iptables"

	"github.com/xenhost/xenhost/xen/dom0"
)

// The firewalls that Options can name.
const (
	IPTables       = "iptables" // whichever family the command is of
	IPTablesNFT    = "iptables-nft"
	IPTablesLegacy = "iptables-legacy"
	NFT            = "nft"
)

// Caps are what a host can do, and what is in use on it.
type Caps struct {
	// Pick is the firewall that is used without Options.Firewall; Why says for
	// which reason.
	Pick string `json:"pick"`
	Why  string `json:"why"`
	// Variant is what the command iptables is: "nf_tables", "legacy", or empty if
	// it is not installed.
	Variant string `json:"variant,omitempty"`
	NFT     bool   `json:"nft"`    // the command nft is there
	IPv6    bool   `json:"ipv6"`   // the kernel speaks it
	Legacy  bool   `json:"legacy"` // somebody has rules of iptables-legacy
	Modern  bool   `json:"modern"` // somebody has iptables' tables in nf_tables
}

// Probe looks at the host and changes nothing. The firewall that holds rules of
// ours is kept; else nft is picked where nobody uses iptables, and iptables
// where somebody does: a packet that its chain FORWARD drops is lost whatever
// another table says, so our rules must stand in that chain. A host on which
// both iptables-legacy and iptables-nft have rules is ErrForeign: half of its
// rules are where the other command does not look.
func (l *Linux) Probe(ctx context.Context) (Caps, error) {
	var c Caps
	err := l.inside(ctx, func(ctx context.Context) (err error) {
		c, err = l.probe(ctx)
		return err
	})
	if err != nil {
		return Caps{}, &Error{Op: "probe", Err: err}
	}
	return c, nil
}

func (l *Linux) probe(ctx context.Context) (Caps, error) {
	c := Caps{IPv6: hasIPv6()}
	version, err := l.output(ctx, "iptables", "--version")
	switch {
	case err != nil:
		return c, err
	case strings.Contains(version, "nf_tables"):
		c.Variant = "nf_tables"
	case version != "":
		c.Variant = "legacy"
	}
	ours, err := hasOurTable()
	if err != nil {
		return c, err
	}
	nft, err := l.output(ctx, "nft", "--version")
	if err != nil {
		return c, err
	}
	c.NFT = nft != ""
	modern, err := hasOurChains()
	if err != nil {
		return c, err
	}
	if tables, err := nfTables(v4); err != nil {
		return c, err
	} else if tables["filter"] || tables["nat"] || tables["mangle"] {
		text, err := l.output(ctx, "iptables-nft-save")
		if err != nil {
			return c, err
		}
		c.Modern = hasRules(text)
	}
	var legacy string
	if used, err := legacyTables(); err != nil {
		return c, err
	} else if used {
		if legacy, err = l.output(ctx, "iptables-legacy-save"); err != nil {
			return c, err
		}
		c.Legacy = hasRules(legacy)
	}
	return c, c.choose(ours,
		modern, strings.Contains(legacy, "\n:"+chainPrefix))
}

// choose sets Pick by what is there; the flags say whose rules of ours are.
func (c *Caps) choose(nft, modern, legacy bool) error {
	told := func(pick, why string) error {
		c.Pick, c.Why = pick, why
		return nil
	}
	switch {
	case nft && modern || nft && legacy || modern && legacy:
		return fmt.Errorf("rules of ours are in two firewalls (nft %v, iptables-nft %v, iptables-legacy %v); remove one: %w", nft, modern, legacy, ErrForeign)
	case c.Legacy && c.Modern:
		return fmt.Errorf("both iptables-legacy and iptables-nft have rules; move them to one, or say which firewall to use: %w", ErrForeign)
	case nft:
		return told(NFT, "our rules are there")
	case modern:
		return told(IPTablesNFT, "our rules are there")
	case legacy:
		return told(IPTablesLegacy, "our rules are there")
	case c.Legacy:
		return told(IPTablesLegacy, "the host has rules there")
	case c.Modern:
		return told(IPTablesNFT, "the host has rules there")
	case c.Variant == "legacy":
		return told(IPTables, "the command iptables is of that family")
	case c.NFT:
		return told(NFT, "nobody uses iptables")
	case c.Variant != "":
		return told(IPTables, "nft is not installed")
	}
	return fmt.Errorf("neither nft nor iptables is installed: %w", errors.ErrUnsupported)
}

// hasRules reports whether a save shows more than empty chains that accept.
func hasRules(save string) bool {
	for line := range strings.Lines(save) {
		if strings.HasPrefix(line, "-A ") || strings.HasPrefix(line, ":") && !strings.Contains(line, " ACCEPT ") {
			return true
		}
	}
	return false
}

// output runs a command; one that is not installed prints nothing.
func (l *Linux) output(ctx context.Context, argv ...string) (string, error) {
	out, err := dom0.Output(ctx, l.runner, argv...)
	if notInstalled(ctx, err) {
		return "", nil
	}
	return string(out), err
}

// choose finds the backend, once for each Linux.
func (l *Linux) choose(ctx context.Context) error {
	if l.backend != nil {
		return l.alone(ctx)
	}
	pick := l.firewall
	switch pick {
	case "":
		c, err := l.probe(ctx)
		if err != nil {
			return err
		}
		pick = c.Pick
		l.log.Info("network", "verb", "use", "what", pick, "why", c.Why)
	case IPTables, IPTablesNFT, IPTablesLegacy, NFT:
	default:
		return fmt.Errorf("firewall %q is none of iptables, iptables-nft, iptables-legacy and nft: %w", pick, ErrInvalid)
	}
	if pick == NFT {
		l.backend = &nft{runner: l.runner}
		return l.alone(ctx)
	}
	version, err := dom0.Output(ctx, l.runner, pick, "--version")
	if err != nil {
		return err
	}
	if err := supported(pick); err != nil {
		return err
	}
	l.backend = &iptables{iptablesRules: newIPTablesRules(), runner: l.runner, command: pick, legacy: !strings.Contains(string(version), "nf_tables"), seed: maphash.MakeSeed()}
	return l.alone(ctx)
}

// supported refuses an iptables before 1.8, from another time of iptables-save:
// what it lists has to be what we wrote, to the letter, and nobody has tried.
func supported(command string) error {
	t, err := goiptables.New(goiptables.Path(command))
	if err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	if a, b, c := t.GetIptablesVersion(); a < 1 || a == 1 && b < 8 {
		return fmt.Errorf("%s is of version %d.%d.%d, 1.8 is needed: %w", command, a, b, c, errors.ErrUnsupported)
	}
	return nil
}
