// Package events tells what becomes of the domains of a host: created,
// rebooted under a new domid, shut down, crashed, gone, and why.
//
//	bell := events.Xenstore(nil)          // @introduceDomain and @releaseDomain
//	defer bell.Close()
//	err := events.Watch(ctx, driver, bell, nil, func(e events.Event) {
//		fmt.Println(e)                    // web1: rebooted, domid 3 to 5 (reboot)
//	})
//
// xenstored tells that a domain came or went and not which one, so Watch looks
// at the whole list each time and tells what is different. It also looks once a
// minute without being told, and after a restart of xenstored.
//
// How much of a short life is seen depends on how long a look takes. With
// privcmd.Hypervisor, which needs microseconds, a guest that reboots is seen
// while it is shut down, before its toolstack takes it away. With xl.Driver,
// which starts a process, the reason can be missed; it is empty then.
package events
