// Package diskrate limits how fast guests read and write their volumes.
//
//	rates := diskrate.New(nil)
//
//	// mkdir /sys/fs/cgroup/xenhost
//	// echo "253:3 rbps=52428800 wbps=52428800 riops=2000 wiops=max" > /sys/fs/cgroup/xenhost/io.max
//	err := rates.Set(ctx, "/dev/guests/web1", diskrate.Limit{
//		ReadBytes: 50 << 20, WriteBytes: 50 << 20, ReadOps: 2000,
//	})
//
//	// echo PID of 7.xvda-0 > /sys/fs/cgroup/xenhost/cgroup.procs
//	err = rates.Keep(ctx, nil) // as long as the host runs guests
//
// # How it works
//
// A guest's requests are carried out by threads of dom0's kernel, one for each
// ring of each disk (xen-blkback; "7.xvda-0" is the first of domain 7's xvda).
// They begin in the root group of the block controller, which can not be
// limited. So there is one group, xenhost, for all of them, with a line for each
// volume: the kernel throttles each pair of a group and a device by itself. What
// dom0 reads and writes for its own work (backups, copies) is not in the group.
//
// Both versions of cgroups do: io.max of version 2, blkio.throttle of version 1,
// whichever is mounted with the controller. Where none is, or the kernel has no
// throttling (CONFIG_BLK_DEV_THROTTLING), it is errors.ErrUnsupported.
//
// The lines in the kernel are the record; no file keeps anything. A line goes
// with its device, when the volume is deactivated, and with the host's power.
//
// # What it does not promise
//
//   - A guest's first moments. Its threads come when it connects its disk, which
//     nobody announces; Keep looks every second, and until it has seen them they
//     are not held to the limit.
//   - Disks that QEMU serves: files in other formats than raw, and an HVM guest's
//     disk until its own driver takes over.
//   - Bursts: a limit holds from the first byte.
//   - A host whose systemd takes the controller away from the root group again:
//     set IOAccounting=yes on any unit to keep it there.
package diskrate
