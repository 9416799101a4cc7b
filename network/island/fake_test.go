package island_test

import (
	"testing"

	"github.com/xenhost/xenhost/network/island"
	"github.com/xenhost/xenhost/network/island/islandtest"
)

func TestFake(t *testing.T) {
	islandtest.TestManager(t, func(*testing.T) (island.Manager, func(string)) {
		f := islandtest.New()
		return f, f.Occupy
	})
}
