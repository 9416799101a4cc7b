package events_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/xenhost/xenhost/xen/events"
	"github.com/xenhost/xenhost/xen/xentest"
)

// In a dom0 the lister is xl.New or privcmd.Open, and the bell events.Xenstore.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	host, guest := xentest.New(&xentest.Options{AnyDisk: true}), spec()
	if _, err := host.Create(ctx, guest, nil); err != nil {
		log.Fatal(err)
	}
	err := events.Watch(ctx, host, events.Every(time.Millisecond), nil, func(e events.Event) {
		fmt.Println(e)
		switch e.Kind {
		case events.Found:
			_ = host.LoseMonitor(guest.UUID) // or the toolstack would act before anybody looks
			_ = host.GuestCrash(guest.UUID)
		case events.Crashed:
			_ = host.Destroy(ctx, guest.UUID)
		case events.Gone:
			cancel()
		}
	})
	fmt.Println(err)
	// Output:
	// web1: found, domid 1
	// web1: crashed, domid 1 (crash)
	// web1: gone, domid 1 (crash)
	// context canceled
}
