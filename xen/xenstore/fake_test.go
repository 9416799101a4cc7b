package xenstore_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen/xenstore"
	"github.com/xenhost/xenhost/xen/xenstore/xenstoretest"
)

func TestFake(t *testing.T) {
	server := xenstoretest.New(nil)
	xenstoretest.TestStore(t, xenstoretest.Harness{Dial: func(context.Context) (*xenstore.Client, error) { return server.Dial(nil), nil }})
}

// The suite passes too through a socket that Dial found.
func TestFakeSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	require.NoError(t, xenstoretest.New(nil).Listen(t.Context(), path))
	t.Setenv("XENSTORED_PATH", path)
	xenstoretest.TestStore(t, xenstoretest.Harness{Dial: func(ctx context.Context) (*xenstore.Client, error) { return xenstore.Dial(ctx, nil) }})
}
