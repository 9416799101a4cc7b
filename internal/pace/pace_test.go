package pace_test

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/pace"
)

func TestNone(t *testing.T) {
	var b bytes.Buffer
	assert.Same(t, &b, pace.New(0).Writer(t.Context(), &b))
}

// Two that share a limit have it together, and a pause is not made up for.
func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, began := pace.New(1000), time.Now()
		done := make(chan int)
		for range 2 {
			go func() {
				var b bytes.Buffer
				n, err := l.Writer(t.Context(), &b).Write(make([]byte, 2000))
				assert.NoError(t, err)
				assert.Equal(t, 2000, b.Len())
				done <- n
			}()
		}
		assert.Equal(t, 4000, <-done+<-done)
		assert.InDelta(t, 4, time.Since(began).Seconds(), 0.2)

		time.Sleep(time.Minute)
		began = time.Now()
		_, err := l.Writer(t.Context(), &bytes.Buffer{}).Write(make([]byte, 1000))
		require.NoError(t, err)
		assert.InDelta(t, 1, time.Since(began).Seconds(), 0.2)
	})
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n, err := pace.New(1000).Writer(ctx, &bytes.Buffer{}).Write(make([]byte, 2000))
	require.ErrorIs(t, err, context.Canceled)
	assert.Less(t, n, 2000)
}
