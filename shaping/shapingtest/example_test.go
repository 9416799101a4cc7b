package shapingtest_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/shaping"
	"github.com/xenhost/xenhost/shaping/shapingtest"
)

// A guest gets its rates, reboots, and is throttled for using up its traffic.
func Example() {
	ctx := context.Background()
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	host := shapingtest.New(&shapingtest.Options{ // shaping.New(nil) on a dom0
		Interfaces: []string{"eth0"}, Now: func() time.Time { return now },
	})
	if _, err := host.Apply(ctx, shaping.State{Uplink: shaping.Uplink{Dev: "eth0", Rate: 950 * shaping.Mbit}}); err != nil {
		fmt.Println(err)
	}

	web1 := shaping.Guest{
		UUID: uuid.MustParse("7f3a0000-0000-4000-8000-000000000001"), Vifs: []string{"x7f3a0000.0"},
		Policy: shaping.Policy{Download: 100 * shaping.Mbit, Upload: 10 * shaping.Mbit, Ceil: 100 * shaping.Mbit},
	}
	if err := host.Set(ctx, web1); err != nil {
		fmt.Println(err)
	}
	host.Plug("x7f3a0000.0") // the domain starts
	fmt.Print("started:\n", host)
	if _, err := host.Refresh(ctx); err != nil { // what shaping.Linux.Keep does
		fmt.Println(err)
	}
	fmt.Print("refreshed:\n", host)

	web1.Throttle = shaping.Throttle{Rate: shaping.Mbit, Until: now.Add(12 * time.Hour)}
	if err := host.Set(ctx, web1); err != nil {
		fmt.Println(err)
	}
	fmt.Println("held to:", web1.Limits())
	now = now.Add(12 * time.Hour)
	if _, err := host.Refresh(ctx); err != nil {
		fmt.Println(err)
	}
	fmt.Print("a month begins:\n", host)
	// Output:
	// started:
	// uplink eth0 rate 950mbit dom0 95mbit
	// guest 7f3a0000-0000-4000-8000-000000000001 on x7f3a0000.0: download 100mbit upload 10mbit ceil 100mbit (not in force)
	// refreshed:
	// uplink eth0 rate 950mbit dom0 95mbit
	// guest 7f3a0000-0000-4000-8000-000000000001 on x7f3a0000.0: download 100mbit upload 10mbit ceil 100mbit
	// held to: download 1mbit upload 1mbit
	// a month begins:
	// uplink eth0 rate 950mbit dom0 95mbit
	// guest 7f3a0000-0000-4000-8000-000000000001 on x7f3a0000.0: download 100mbit upload 10mbit ceil 100mbit
}

// The uplink promises no more than it has: oversell by a ceiling, not by
// promises.
func ExampleFake_Set() {
	ctx := context.Background()
	host := shapingtest.New(nil)
	if _, err := host.Apply(ctx, shaping.State{Uplink: shaping.Uplink{Dev: "eth0", Rate: 100 * shaping.Mbit}}); err != nil {
		fmt.Println(err)
	}
	g := web1()
	g.Policy = shaping.Policy{Upload: 100 * shaping.Mbit}
	err := host.Set(ctx, g)
	fmt.Println(err)
	fmt.Println(errors.Is(err, shaping.ErrOvercommitted))
	g.Policy = shaping.Policy{Upload: 5 * shaping.Mbit, Ceil: 100 * shaping.Mbit}
	fmt.Println(host.Set(ctx, g))
	// Output:
	// shaping: set 7f3a0000-0000-4000-8000-000000000001: uplink eth0 of 100mbit would promise 110mbit, dom0's 10mbit included: the uplink has no more to promise
	// true
	// <nil>
}

// The plan of a whole host is printed first and then done.
func ExampleFake_Apply() {
	ctx := context.Background()
	host := shapingtest.New(nil)
	want := shaping.State{Uplink: shaping.Uplink{Dev: "eth0", Rate: shaping.Gbit}, Guests: []shaping.Guest{web1()}}

	have, _ := host.Read(ctx)
	fmt.Print("dry run:\n", shaping.Diff(have, want))
	if _, err := host.Apply(ctx, want); err != nil {
		fmt.Println(err)
	}
	plan, err := host.Apply(ctx, want)
	fmt.Println("again:", plan.Empty(), err)
	// Output:
	// dry run:
	// + uplink eth0 rate 1gbit dom0 100mbit
	// + guest 7f3a0000-0000-4000-8000-000000000001 on x7f3a0000.0: download 100mbit
	// again: true <nil>
}
