package lock_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/migrate/lock"
)

// Two programs of one machine want to move the same guest.
func Example() {
	ctx, guest := context.Background(), uuid.MustParse("11111111-2222-4333-8444-555555555555")
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	panel, nightly := lock.NewFiles(dir), lock.NewFiles(dir)

	first, err := panel.Acquire(ctx, guest) // migrate.Options{Locker: panel} does it
	if err != nil {
		log.Fatal(err)
	}
	_, err = nightly.Acquire(ctx, guest)
	fmt.Println(errors.Is(err, lock.ErrBusy))

	if err := first.Release(); err != nil {
		log.Fatal(err)
	}
	second, err := nightly.Acquire(ctx, guest)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = second.Release() }()
	fmt.Println(first.Token(), second.Token())
	fmt.Println(errors.Is(first.Check(ctx), lock.ErrLost))
	// Output:
	// true
	// 1 2
	// true
}
