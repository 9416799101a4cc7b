package network

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestChoose(t *testing.T) {
	for name, c := range map[string]struct {
		caps                Caps
		nft, modern, legacy bool // rules of ours
		want                string
		err                 error
	}{
		"a fresh host":                     {caps: Caps{NFT: true, Variant: "nf_tables"}, want: NFT},
		"nft alone":                        {caps: Caps{NFT: true}, want: NFT},
		"iptables alone":                   {caps: Caps{Variant: "nf_tables"}, want: IPTables},
		"a host of iptables-legacy":        {caps: Caps{NFT: true, Variant: "legacy"}, want: IPTables},
		"an operator who uses iptables":    {caps: Caps{NFT: true, Variant: "nf_tables", Modern: true}, want: IPTablesNFT},
		"an operator with legacy":          {caps: Caps{NFT: true, Variant: "nf_tables", Legacy: true}, want: IPTablesLegacy},
		"both families":                    {caps: Caps{NFT: true, Variant: "nf_tables", Legacy: true, Modern: true}, err: ErrForeign},
		"ours in nft, iptables came later": {caps: Caps{NFT: true, Variant: "nf_tables", Modern: true}, nft: true, want: NFT},
		"ours in iptables-nft":             {caps: Caps{NFT: true, Variant: "nf_tables", Modern: true}, modern: true, want: IPTablesNFT},
		"ours in iptables-legacy":          {caps: Caps{NFT: true, Variant: "nf_tables", Legacy: true}, legacy: true, want: IPTablesLegacy},
		"ours in two":                      {caps: Caps{NFT: true, Variant: "nf_tables"}, nft: true, modern: true, err: ErrForeign},
		"nothing installed":                {err: errors.ErrUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.caps.choose(c.nft, c.modern, c.legacy)
			require.ErrorIs(t, err, c.err)
			assert.Equal(t, c.want, c.caps.Pick)
			assert.Equal(t, c.want != "", c.caps.Why != "")
		})
	}
}

func TestHasRules(t *testing.T) {
	assert.False(t, hasRules("*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n"))
	assert.True(t, hasRules("*filter\n:FORWARD DROP [0:0]\nCOMMIT\n"))
	assert.True(t, hasRules("*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -j ACCEPT\nCOMMIT\n"))
	assert.True(t, hasRules("*filter\n:DOCKER - [0:0]\nCOMMIT\n"))
}
