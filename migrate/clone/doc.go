// Package clone makes a copy of a guest to try something on, as an upgrade,
// while the guest goes on: its disks are copies on write, its addresses are the
// guest's, and it is alone with them. Then the copy becomes the guest, or
// nothing is left of it.
//
//	c, err := clone.Make(ctx, h, web1.UUID, &clone.Options{Name: "web1-trial", Out: "xenext"})
//	// lvcreate -s -c 4k -l 100%ORIGIN -n web1-trial-xvda guests/web1, a bridge, xl create
//	p, err := clone.Promote(ctx, h, c.UUID)  // lvcreate -s -n web1-rollback; lvconvert --merge; xl create
//	err = clone.Discard(ctx, h, c.UUID)      // xl destroy, lvremove, and all else that was made
//	report, err := clone.Sweep(ctx, h, time.Now())
//
// A clone has a UUID of its own, which follows from the guest's and the clone's
// name, and MACs of its own. It is on an island (package network/island): inside
// it finds its gateway, outside nobody finds it. With Options.Out it reaches the
// world by that interface of the host. The host's configuration needs
// host.Config.Islands.
//
// # What it costs
//
// A thick clone needs as much free room as its guest's disks have, so that it can
// not run full (or Options.Room, and then see Guard); while it is there each
// first write of the guest to 4 KiB costs three. So it has an end: Sweep
// discards it when its time is over. Memory is as much as the guest's.
//
// # Promoting
//
// The guest keeps its UUID, MACs, addresses, forwards and rates and gets the
// clone's disks. What it wrote itself since the clone was made is kept with the
// rest of its old disks in rollback volumes (host.Disk.RollbackName):
// host.Rollback goes back to them, host.ForgetRollback removes them. Guest and
// clone are down until the merge is done: that copies what the clone has
// written (thick), or is done at once (thin). Of several thin clones of a guest
// one can be promoted: the others are copies of disks that it has no more, and
// stay what they are.
//
// # Crashes
//
// What was begun is in the clone's definition before anything of it exists. Make
// with the same name begins anew, Promote again goes on, Discard again ends it,
// and Sweep does whichever of these is due. A guest whose disks are half
// promoted does not start.
//
// # What is not promised
//
// The disks of a running guest are as a power failure would leave them, and
// several are not of one instant: shut it down for that. A guest with a clone
// can be moved only after the clone is gone (host.ErrBusy). A guest with
// shared disks has no clones. IPv6 ends at
// the clone's bridge.
package clone
