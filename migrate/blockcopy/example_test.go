package blockcopy_test

import (
	"context"
	"fmt"
	"io"
	"log"

	"github.com/xenhost/xenhost/migrate/blockcopy"
)

func Example() {
	ctx := context.Background()
	source, copied := newDisk(4<<20), newDisk(4<<20) // any lvm.Device
	copy(source.data[1<<20:], "a customer's data")

	t := blockcopy.NewTransfer(source.Size())
	t.Fresh = true // the copy reads as zeros now
	r, w := io.Pipe()
	go func() {
		_, err := blockcopy.Send(ctx, w, source, t, nil)
		w.CloseWithError(err)
	}()
	stats, err := blockcopy.Receive(ctx, r, copied, t, nil)
	if err != nil {
		log.Fatal(err)
	}
	a, _ := blockcopy.Sum(ctx, source, source.Size())
	b, _ := blockcopy.Sum(ctx, copied, copied.Size())
	fmt.Println(stats.Frames, "frame with", stats.Data, "bytes, less than 1 KiB:", stats.Wire < 1024)
	fmt.Println("equal:", a == b)
	// Output:
	// 1 frame with 4096 bytes, less than 1 KiB: true
	// equal: true
}
