package main

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestStay: the first work that fails ends the others, and it is its error
// that is told; to be told to end is no error.
func TestStay(t *testing.T) {
	broken := errors.New("no netlink")
	waited := false
	err := stay(t.Context(),
		func(ctx context.Context) error { <-ctx.Done(); waited = true; return ctx.Err() },
		func(context.Context) error { return broken })
	require.ErrorIs(t, err, broken)
	assert.True(t, waited)

	ctx, cancel := context.WithCancel(t.Context())
	err = stay(ctx,
		func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		func(context.Context) error { cancel(); return nil })
	require.NoError(t, err)
}
