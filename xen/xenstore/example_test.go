package xenstore_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"strconv"

	"github.com/xenhost/xenhost/xen/xenstore"
	"github.com/xenhost/xenhost/xen/xenstore/xenstoretest"
)

func Example() {
	ctx := context.Background()
	store := xenstoretest.New(nil).Dial(nil) // on a dom0: xenstore.Dial(ctx, nil)
	defer store.Close()

	err := store.Write(ctx, "/tool/panel/web1/seen", []byte("2026-11-27"))
	if err != nil {
		log.Fatal(err)
	}
	v, err := store.Read(ctx, "/tool/panel/web1/seen")
	if err != nil {
		log.Fatal(err)
	}
	text, err := v.Text(64)
	fmt.Println(text, err)
	_, err = store.Read(ctx, "/tool/panel/web2/seen")
	fmt.Println(errors.Is(err, fs.ErrNotExist), err)
	// Output:
	// 2026-11-27 <nil>
	// true xenstore: read /tool/panel/web2/seen: file does not exist
}

// Two programs count together; a conflict runs the function again.
func ExampleClient_Update() {
	ctx := context.Background()
	server := xenstoretest.New(nil)
	store := server.Dial(nil)
	defer store.Close()
	count := func(tx *xenstore.Tx) error {
		v, err := tx.Read(ctx, "/tool/panel/moves")
		if errors.Is(err, fs.ErrNotExist) {
			v, err = xenstore.Untrusted("0"), nil
		}
		if err != nil {
			return err
		}
		n, err := v.Int(0, 1<<31)
		if err != nil {
			return err
		}
		return tx.Write(ctx, "/tool/panel/moves", strconv.AppendInt(nil, n+1, 10))
	}
	server.Conflict(2) // as if others were faster, twice
	fmt.Println(store.Update(ctx, count), store.Update(ctx, count))
	v, err := store.Read(ctx, "/tool/panel/moves")
	fmt.Println(v, err)
	// Output:
	// <nil> <nil>
	// "2" <nil>
}

// A loop looks when something may have changed, and a first time.
func ExampleClient_Watch() {
	ctx := context.Background()
	server := xenstoretest.New(nil)
	store := server.Dial(nil)
	defer store.Close()
	watch, err := store.Watch(ctx, xenstore.ReleaseDomain)
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		event, err := watch.Next(ctx)
		fmt.Println(event.Path, err)
		server.Release(7) // a domain is gone
	}
	server.Restart() // of xenstored
	_, err = watch.Next(ctx)
	for err == nil {
		_, err = watch.Next(ctx)
	}
	fmt.Println(errors.Is(err, xenstore.ErrLost))
	// Output:
	// @releaseDomain <nil>
	// @releaseDomain <nil>
	// true
}

// What a guest wrote is checked where it is converted.
func ExampleUntrusted() {
	ctx := context.Background()
	server := xenstoretest.New(nil)
	store, guest := server.Dial(nil), server.DialAs(7, nil)
	defer store.Close()
	defer guest.Close()
	for _, err := range []error{
		store.Mkdir(ctx, "/local/domain/7/data"),
		store.SetPerms(ctx, "/local/domain/7/data", xenstore.Perm{Domain: 7, Access: xenstore.None}), // its own
		guest.Write(ctx, "/local/domain/7/data/os", []byte("Debian\x1b[2J")),
	} {
		if err != nil {
			log.Fatal(err)
		}
	}
	v, err := store.Read(ctx, "/local/domain/7/data/os")
	if err != nil {
		log.Fatal(err)
	}
	_, err = v.Text(64)
	fmt.Println(v, err)
	// Output: "Debian\x1b[2J" invalid: value "Debian\x1b[2J" has characters that do not print
}
