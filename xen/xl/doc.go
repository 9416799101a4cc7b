// Package xl drives the domains of one dom0 through the xl command.
//
//	driver := xl.New(dom0.Local{}, nil)
//	domain, err := driver.Create(ctx, spec, nil)
//	...
//	how, err := driver.Shutdown(ctx, spec.UUID, &xen.ShutdownOptions{Grace: time.Minute})
//
// It needs root in a dom0 with Xen 4.11 or later (it was run with 4.17), pgrep
// (procps) and env (coreutils 8.31); for consoles and screens xenstore-read.
//
// What it makes of xl:
//
//   - A domain is found by its UUID in `xl list -v` and then addressed by its
//     number. Names are never given to a command that could take them for an
//     option or a number.
//   - The configuration is rendered by package xlcfg into a file that only root
//     can read and that is removed when xl has read it.
//   - xl's exit codes lie in both directions, so each change is read back, and
//     an error is explained by the first line of xl's that tells something.
//   - A disk or vif that could not be attached is taken away again, since xl
//     leaves it half made.
//   - Save and Restore are pipes to and from xl, without a file in between. xl is
//     not killed while they run, and a saved domain is destroyed only when the
//     caller has all of it.
//   - A restored domain gets its name, disks and vifs from the caller's spec, and
//     nothing from the configuration in the stream.
//   - Every command has a time limit, but for save and restore. When a create is cut short, what it left
//     is found and destroyed.
//   - The process that xl leaves behind for each guest is what restarts it
//     after a reboot. A domain counts as gone when that process is gone too.
package xl
