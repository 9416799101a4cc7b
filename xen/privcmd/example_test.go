package privcmd_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/privcmd"
	"github.com/xenhost/xenhost/xen/xl"
)

// A host whose Xen is not known is listed by xl.
func Example() {
	var lister xen.Lister
	xen0, err := privcmd.Open()
	switch {
	case err == nil:
		defer xen0.Close()
		lister = xen0
	case errors.Is(err, errors.ErrUnsupported):
		lister = xl.New(dom0.Local{}, nil)
	default:
		fmt.Println(err) // not a dom0, or not root
		return
	}
	domains, err := lister.List(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, d := range domains {
		fmt.Println(d.UUID, d.State, d.CPUTime)
	}
}
