// Package xenstore talks to xenstored, the small database in which Xen's
// toolstack, dom0 and the guests tell each other about domains and devices.
//
//	store, err := xenstore.Dial(ctx, nil)                         // /run/xenstored/socket, else /dev/xen/xenbus
//	name, err := store.Read(ctx, "/local/domain/7/name")          // xenstore-read
//	err = store.Write(ctx, "/tool/panel/seen", []byte("1"))       // xenstore-write
//	err = store.Update(ctx, func(tx *xenstore.Tx) error { ... })  // a transaction, tried again on a conflict
//	watch, err := store.Watch(ctx, "@releaseDomain")              // xenstore-watch
//	event, err := watch.Next(ctx)
//
// A [Client] is one connection, safe for concurrent use: requests of several
// goroutines are under way at once (one after the other on the kernel's device). Every call has a deadline, its own or
// Options.Limit. When the connection is lost, every call and every watch says
// [ErrLost]; the client is then of no more use: Dial again, watch again, and
// look at everything again.
//
// # What a guest wrote
//
// Much below /local/domain/N is written by the guest N, with any bytes in it.
// Read therefore returns an [Untrusted], whose methods check while they
// convert. Take the devices of a domain from /libxl/N/device, which only dom0
// writes, and never an identity, a path or a rule from what a guest can write.
//
// # What is not offered
//
// Introducing, releasing and resuming a domain belong to the toolstack, and the
// watches of a whole domain to its kernel. Paths are absolute.
//
// In a test, xenstoretest.New is a server in memory.
package xenstore
