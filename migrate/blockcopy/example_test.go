package blockcopy_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"

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

// Two files on this machine; over ssh, conn is the stdin and stdout of ssh, and
// Serve runs at its other end: see examples/blocksync.
func ExamplePush() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example-*")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	disk, replica := filepath.Join(dir, "disk"), filepath.Join(dir, "replica")
	content := bytes.Repeat([]byte("a customer's data "), 1<<18)
	night := func() {
		if err := os.WriteFile(disk, content, 0o600); err != nil {
			log.Fatal(err)
		}
		source, err := blockcopy.OpenSource(disk)
		if err != nil {
			log.Fatal(err)
		}
		defer source.Close()
		here, there := net.Pipe()
		go func() { _ = blockcopy.Serve(ctx, there, blockcopy.Paths{}.Open) }() // Push says what failed
		report, err := blockcopy.Push(ctx, here, source, replica, &blockcopy.PushOptions{Index: disk + ".index", Verify: true})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("by %s: %d bytes differed\n", report.How, report.Stats.Data)
	}
	night()
	content[1_000_000] = 'A'
	night()
	night()
	// Output:
	// by all: 4718592 bytes differed
	// by index: 4096 bytes differed
	// by index: 0 bytes differed
}
