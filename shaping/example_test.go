package shaping_test

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/shaping"
)

func ExampleParseRate() {
	for _, text := range []string{"100mbit", "1.5gbit", "10 Mbit/s", "100", "10mbps"} {
		r, err := shaping.ParseRate(text)
		fmt.Println(r, err)
	}
	// Output:
	// 100mbit <nil>
	// 1500mbit <nil>
	// 10mbit <nil>
	// 0bit rate "100" (as 512kbit, 100mbit or 1.5gbit): invalid
	// 0bit rate "10mbps" (as 512kbit, 100mbit or 1.5gbit): invalid
}

// A plan's text is what the kernel's notes and the dry run show, and it is read
// back.
func ExampleParsePolicy() {
	p, err := shaping.ParsePolicy("download 100mbit upload 10mbit ceil 100mbit weight 2")
	fmt.Println(p.Ceil, p.Weight, err)
	fmt.Println(p)
	_, err = shaping.ParsePolicy("upload 100mbit ceil 10mbit")
	fmt.Println(err)
	// Output:
	// 100mbit 2 <nil>
	// download 100mbit upload 10mbit ceil 100mbit weight 2
	// shaping: parse "upload 100mbit ceil 10mbit": ceil 10mbit is below upload 100mbit: invalid
}

// A throttled guest is held below its plan, in both directions; the plan stays.
func ExampleGuest_Limits() {
	g := shaping.Guest{
		Policy:   shaping.Policy{Download: 100 * shaping.Mbit, Upload: 10 * shaping.Mbit, Ceil: 50 * shaping.Mbit},
		Throttle: shaping.Throttle{Rate: shaping.Mbit, Until: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)},
	}
	fmt.Println(g.Policy)
	fmt.Println(g.Throttle)
	fmt.Println(g.Limits())
	// Output:
	// download 100mbit upload 10mbit ceil 50mbit
	// throttle 1mbit until 2026-12-01T00:00:00Z
	// download 1mbit upload 1mbit
}

// Diff is the dry run of Apply.
func ExampleDiff() {
	web1 := shaping.Guest{
		UUID: uuid.MustParse("7f3a0000-0000-4000-8000-000000000001"), Vifs: []string{"x7f3a0000.0"},
		Policy: shaping.Policy{Download: 100 * shaping.Mbit},
	}
	have := shaping.State{Uplink: shaping.Uplink{Dev: "eth0", Rate: shaping.Gbit}, Guests: []shaping.Guest{web1}}
	web1.Policy.Download = 200 * shaping.Mbit
	fmt.Print(shaping.Diff(have, have.With(web1)))
	fmt.Println(shaping.Diff(have, have).Empty())
	// Output:
	// ~ guest 7f3a0000-0000-4000-8000-000000000001 on x7f3a0000.0: download 200mbit
	// true
}
