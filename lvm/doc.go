// Package lvm manages volume groups, volumes, snapshots and thin pools of one
// host, by lvm(8), and tells which blocks changed since a snapshot.
//
// A group is divided into extents (mostly 4 MiB); sizes of volumes are whole
// extents. A thick volume has its extents from the start; a thin one takes
// blocks from a pool as it is written. A snapshot shows its origin as it was. A
// volume is active while its device node /dev/GROUP/NAME is there, and open
// while a domain, a mount or a Device uses it. Its activation-skip flag (Skip)
// keeps vgchange -ay, and so every boot script, from activating it.
//
// A disk for a new guest, copied while the guest writes, and given back:
//
//	c := lvm.New(dom0.Local{}, nil)
//
//	// lvcreate -L 10g -n web1 guests, then zeroed before anyone gets it
//	web1 := lvm.ID{Group: "guests", Name: "web1"}
//	v, err := c.Create(ctx, lvm.Spec{ID: web1, Size: 10 << 30, Tags: []string{"xenhost.owner=curacao"}})
//
//	// lvcreate -s -c 4k -l 100%ORIGIN -n web1-copy guests/web1
//	snap, err := c.Snapshot(ctx, web1, "web1-copy", nil)
//
//	// the table of /dev/mapper/guests-web1--copy-cow, read past the page cache
//	extents, err := c.Changed(ctx, snap.ID)
//
//	// lvremove guests/web1-copy; lvchange -an guests/web1; lvremove guests/web1
//	err = c.Remove(ctx, snap.ID)
//	err = c.Deactivate(ctx, web1) // lvm.ErrBusy while a domain has it
//	err = c.Remove(ctx, web1)
//
// # The last owner's data
//
// lvcreate hands out what was on the disk before; Create does not. It makes a
// thick volume inactive, with the activation-skip flag and the tag
// xenhost.state=wiping, zeroes all of it, looks at samples, and only then takes
// tag and flag away, in one change of the metadata. Killed anywhere in between,
// it leaves a volume that no boot script activates and that Activate refuses
// (ErrUnwiped). Create of the same volume finishes it; Remove gives it back.
// While a process is zeroing the device node is there: a domain that is started
// on it by hand at that moment is not prevented. Thin pools zero their blocks
// themselves; one that was told not to is refused.
//
// Grow keeps that promise for a guest that runs: a thick volume grows by extents
// that were wiped before, as a volume of their own.
//
// # Copies, and the way back
//
//	// before a risky upgrade, and after it went wrong (the guest is shut down)
//	snap, err := c.Snapshot(ctx, web1, "web1-before", nil)
//	v, err := c.Merge(ctx, snap.ID)      // lvconvert --merge: web1 is what it was
//
//	v, err = c.Grow(ctx, web1, 20<<30)   // while the guest runs
//	v, err = c.Rename(ctx, web1, "web2")
//
// Changed tells what a copy has to be sent: of a thick snapshot by its exception
// store, in chunks of 4 KiB; of a thin one by the metadata of its pool
// (thin_delta), in blocks of 64 KiB or more, and there it knows too what the
// guest has discarded. Neither reads the volume. What is written while it looks
// may be in the answer or not.
//
// # What runs full
//
// A thick snapshot that runs full becomes invalid (ErrSnapshotInvalid) and harms
// nobody; made with the default room it never does. A thin pool that runs full
// stops the writes of all its guests: first they wait for a minute, then they
// fail. So a pool's volumes, snapshots included, do not promise more than it
// holds, unless the pool carries TagOversell. Then somebody must look:
//
//	fill, err := c.Fill(ctx, lvm.ID{Group: "guests", Name: "pool"})   // dmsetup status: no lock, no disk access
//	err = lvm.Guard(ctx, c, "xenhost.job=night", snapshots, nil)      // gives up the caller's own snapshots in time
//	_, err = c.Grow(ctx, pool, 200<<30)                               // more room for data, while it is in use,
//	fill, err = c.GrowRoom(ctx, pool, 1<<30)                          // for a pool's metadata,
//	fill, err = c.GrowRoom(ctx, snap.ID, 8<<30)                       // or for what a snapshot keeps
//
// # What is promised, and what is not
//
// After each change the state is read back, and what LVM reported is compared
// with what is there, so that a disk that loses writes is noticed. Failures are
// told by that state too, never by what LVM printed; a failure that the state
// does not explain is LVM's own *dom0.Error.
//
// What only reads ends with its context, or after Options.Timeout. Commands that
// change something are not killed, since half a change can leave a guest's disk
// suspended: they may outlast their context. Each verb reads first; so an lvm
// that hangs with the lock of the group lets it end with
// context.DeadlineExceeded, and nothing was begun.
//
// Create, Snapshot, Rename and Tag use one commit of LVM's metadata per command;
// nothing spans two volumes. Between two commands of Grow its wiped extents are
// free for a moment: one who made, wrote and removed a volume there by hand in
// that moment would leave its data in them. Nothing is made smaller, mirrored or
// cached here, and volumes made of those are shown as Other. Set
// devices/scan_lvs to 0 (LVM's default), so that dom0 never looks for groups
// inside its guests' disks.
//
// The package lvmtest has a Fake to test against, and the suite that it and the
// Client pass.
package lvm
