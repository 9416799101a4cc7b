// Package replica keeps a copy of a guest on another host, brought up to date
// every night or every few minutes, and makes it the guest when its host is
// gone.
//
//	peer, err := migrate.Dial(ctx, conn, &migrate.DialOptions{Name: "curacao"})  // to islay
//	plan, err := replica.PlanCopy(ctx, curacao, peer, guest, nil)
//	fmt.Print(plan)                                                    // the dry run
//	report, err := plan.Run(ctx)                                       // again after any failure: it goes on
//
//	nights := replica.Group{Host: curacao, Peer: peer, Options: replica.Options{Limit: replica.NewLimit(50 << 20)}}
//	results, err := nights.Run(ctx, nil)                               // all guests, 4 at once, under one limit
//	health, err := replica.Check(ctx, curacao, peer, nil, 26*time.Hour) // fresh, stale, missing
//
// On islay, when curacao is dead:
//
//	proof := replica.Proof{Host: "curacao", Vouch: owner.PoweredOff}   // or what a fencing device said
//	promotion, err := replica.Promote(ctx, islay, guest, proof, nil)
//	fmt.Print(promotion)                                               // and what is lost
//
// # A generation
//
// A run makes a snapshot of each disk of the guest, which goes on running, and
// sends the peer what changed. What that is, it knows from the snapshot of the
// generation before, which is kept until then (nothing else is read), from an
// index beside the source (all is read here, nothing there), or from the hashes
// of what the peer has. All of it travels through migrate's connection to volumes
// of the same names; the definition travels too.
//
// What arrives is collected in redo logs at the peer and proven, and only when
// all disks have come is it applied, as one generation: after whatever was killed,
// the peer holds one whole generation, the old one or the new one. Its first copy
// is written in place, and is none until it is complete. The cursor, which says
// what the peer holds, moves when the peer has said that it does. A snapshot that
// ran full ends the run; nothing of it becomes a generation.
//
// A run that was cut is finished by the next one, from the same snapshots, and
// from where it was cut; then that one makes its own.
//
// # The copy at rest
//
// The peer's owner record says Replica, which forbids a start; its volumes carry
// the activation-skip flag and have no device node but while a run writes. To
// promote takes two things: a Proof that the guest's host can not run it, and a
// whole generation. The guest gets a new epoch, so that the old host's copy is
// superseded: migrate.Resume fences it when that host is back, and the way back
// is a run in the other direction, which sends what differs, and a move.
//
// # Not promised
//
//   - The disks of one guest are caught one after the other, each as a power
//     failure would leave it.
//   - What a guest wrote after its last generation is lost by a promotion, which
//     says how long that is.
//   - An old host that is switched on again after a promotion, and reaches none
//     of its peers, starts its own copy: it can not know better.
//   - A thick volume does not grow while a snapshot of it is kept: see
//     Options.IndexOnly.
package replica
