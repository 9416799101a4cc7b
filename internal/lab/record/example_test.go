package record_test

import (
	"fmt"

	"github.com/xenhost/xenhost/internal/lab/record"
)

func ExampleVerify() {
	d := newDisk(256)
	if err := record.Format(d, d.size(), record.ID{1}); err != nil {
		fmt.Println(err)
		return
	}
	for range 2 { // two boots of a guest
		log, err := record.Open(d, d.size())
		if err != nil {
			fmt.Println(err)
			return
		}
		for range 3 {
			number, err := log.Append(0)
			fmt.Println("acknowledged", number, err)
		}
	}
	at, err := record.Verify(d, d.size())
	fmt.Println("on disk:", at.Last, "boots:", at.Boots, err)
	// Output:
	// acknowledged 1 <nil>
	// acknowledged 2 <nil>
	// acknowledged 3 <nil>
	// acknowledged 4 <nil>
	// acknowledged 5 <nil>
	// acknowledged 6 <nil>
	// on disk: 6 boots: 2 <nil>
}
