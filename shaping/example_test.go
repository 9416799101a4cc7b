package shaping_test

import (
	"fmt"

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
