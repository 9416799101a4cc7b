// Package migrate moves guests between two hosts that share nothing but a
// connection, cold or while they run, and lets a program use a host from another
// one.
//
// On each host an agent serves connections; whoever moves dials:
//
//	err := migrate.Serve(ctx, islay, conn, nil)            // on islay: conn is its end of the connection
//
//	remote, err := migrate.Dial(ctx, conn, &migrate.DialOptions{Name: "curacao"})
//	plan, err := migrate.PlanMove(ctx, curacao, remote, guest, migrate.Cold, nil)
//	fmt.Print(plan)                                        // the dry run
//	report, err := plan.Run(ctx)
//	...
//	report, err = migrate.Resume(ctx, curacao, remote, guest, nil) // after whatever happened, from either host
//
// conn is anything that reads and writes: the stdin and stdout of
// "ssh islay agent serve", a net.Pipe in a test. It must be authenticated and
// encrypted by whoever made it. A Remote has the verbs of the interface Host, as
// a *host.Host has: a panel looks at, provisions, starts, stops, terminates and
// moves guests of hosts near and far alike. The other verbs of a *host.Host, as
// SetRates and SetForwards, are called where it is. Either side of a move may be
// near or far; the bytes pass through the mover.
//
// Package replica keeps copies of guests on another host, over the same
// connections, and promotes them when a host is dead.
//
// # Ways
//
//	Cold       its disks are copied while it runs; it powers off, the rest follows, all is compared; it boots there
//	TwoPass    as Cold, but what it writes is followed in rounds before it powers off: a short stop
//	Live       as TwoPass, and its memory goes too: it does not boot. PV guests go by save and restore, by themselves
//
// Disks that both hosts see (host.SharedDisk: iSCSI, DRBD with two primaries, a
// file on NFS behind a loop device) are not copied in any of them; that both hosts
// read the same blocks is made sure of while nobody writes. Nothing but the owner
// record keeps the other host off such a disk.
//
// A plan refuses, by name or number, what a guest would miss: room, memory,
// bridges and their MTU, addresses and ports that another guest has; of a live
// move also features of the CPU, a Xen that is older, systems that are known not to
// survive it, and what the guest's own definition forbids (host.NeverLive).
//
// # Words
//
// The source gives a guest away, the target gets it. The cut-over is the
// durable record by which the source gives the guest up; before it every
// failure goes back, after it forward. Downtime is from the request to power
// off, in a live move from the moment in which the domain is suspended, until it
// runs at the target. What a move is made of, in order,
// is in package handover; how bytes travel is in package blockcopy.
//
// # Promised
//
//   - At no moment do two copies run, whatever is killed: the mover, an agent,
//     either host, the connection. No host starts a stale copy.
//   - In a cold move disks are compared by SHA-256, read again on both hosts,
//     before the source gives the guest up. In a live or two-pass move that is
//     done with what was sent last, and with all of it if Options.VerifyFull says
//     so; every part is proven by its hash as it arrives. MAC, addresses and forwards stay.
//   - A failure before the cut-over leaves the guest on the source, started
//     again if it had been stopped; Run does that before it returns.
//   - What a kill or a dead host leaves, Resume ends: from either host, in any
//     order, as often as one likes. Where a host is dead for ever, PlanOverride
//     ends it on the other one alone, on an operator's word.
//   - A guest that writes faster than the connection carries stays where it is
//     (ErrBusyDisks), after a few rounds and without an interruption.
//   - The source's volumes are never removed. They are fenced: neither
//     vgchange -ay nor xl create of the old configuration starts them. A move
//     back sends what differs from them, found out by hashes.
//
// # Not promised
//
//   - A guest that is handed over while its target dies in the same second
//     runs nowhere until the target is back, or an operator overrides: that is
//     the price of never two.
//   - In a cold or two-pass move memory does not move: it is a reboot. A guest
//     that does not power off when asked is cut off after the host's grace.
//   - In a live move memory is lost, and the guest started from its disks, if a
//     host or its toolstack dies while the guest is suspended. No write that the
//     guest was told is on the disk is lost with it.
//   - A copy that Resume takes back begins again. One that was only cut off from
//     its target is gone on with: by the move itself if it has Options.Redial,
//     else by the next one.
//   - That the neighbours of a guest on a bridge learn at once where it is now:
//     gateway.Announce tells them, called on the target by Options.AfterStart.
//   - A reading of the ledger before the guest leaves: see Options.BeforeStop.
package migrate
