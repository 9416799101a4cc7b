package confirm_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/confirm"
	"github.com/xenhost/xenhost/network/networktest"
)

// On a real host network.New(nil) takes the place of the fake, and Keeper names
// the caller's own command that calls Keep: without it nothing is changed.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "confirm-*")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	c := confirm.New(confirm.Target{Network: networktest.New(nil)}, &confirm.Options{Dir: dir})
	fmt.Println(c.Boot(ctx)) // nothing was ever confirmed
	_, err = c.Apply(ctx, confirm.State{Network: &network.State{
		Masquerades: []network.Masquerade{{Source: netip.MustParsePrefix("192.168.0.0/16"), Out: "xenext"}},
	}})
	fmt.Println(err)
	// Output:
	// <nil>
	// confirm: apply: no keeper is configured: unsupported operation
}
