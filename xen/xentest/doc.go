// Package xentest gives a simulated Xen host and the conformance suite that
// it and the real drivers pass.
//
// A test of code that uses xen.Domains starts like this:
//
//	host := xentest.New(nil)
//	domain, err := host.Create(ctx, spec, nil)
//	...
//	host.GuestCrash(spec.UUID)              // guests do as they like
//	host.Fail("create", xen.ErrNoMemory)    // verbs fail when told to
//	host.PowerOff()                         // and the plug can be pulled
//	fmt.Print(host)                         // a table as of xl list
//
// With Options.Program the guests also live: a function that may write to the
// guest's disks and answer on sockets, blocks while the guest is paused, and
// never outlives its domain. See [Program].
//
// Beyond xen.Domains the Fake plays every role of package xen: devices, media,
// sizes, shares, configurations, consoles, screens, and save streams that go
// from one Fake to another. SendTo and ReceiveFrom are the two halves of a live
// migration, with the words that xl's halves say, and end as xl's do wherever
// the stream breaks. IgnoreShutdown makes a guest deaf, KeepZombie leaves a
// domain dying.
//
// [TestDomains] and [TestRoles] are the suites: what they ask of a driver is
// what the interfaces of package xen promise.
package xentest
