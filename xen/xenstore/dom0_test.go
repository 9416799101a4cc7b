package xenstore_test

import (
	"context"
	"testing"

	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/xen/xenstore"
	"github.com/xenhost/xenhost/xen/xenstore/xenstoretest"
)

// TestDom0Socket is the suite on the xenstored of a real Xen host.
func TestDom0Socket(t *testing.T) { onDom0(t, "/run/xenstored/socket", 4096) }

// TestDom0Device is the suite through the kernel of a real dom0.
func TestDom0Device(t *testing.T) { onDom0(t, "/dev/xen/xenbus", 4080) }

func onDom0(t *testing.T, path string, maxBody int) {
	tier.Require(t, tier.Dom0)
	xenstoretest.TestStore(t, xenstoretest.Harness{MaxBody: maxBody, Dial: func(ctx context.Context) (*xenstore.Client, error) {
		return xenstore.Dial(ctx, &xenstore.Options{Path: path})
	}})
}
