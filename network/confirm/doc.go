// Package confirm changes a host's network so that a change which locks the
// operator out takes itself back.
//
//	c := confirm.New(confirm.Target{Network: network.New(nil), Guard: guard.New(nil)}, &confirm.Options{
//		Keeper: []string{"/usr/local/bin/panel", "keep"},
//	})
//	pending, err := c.Apply(ctx, want)  // the network is as wanted, for one minute
//	err = c.Confirm(ctx, pending.ID)    // from a new connection: it stays
//
// The command of Options.Keeper is the caller's own binary; all it does is
//
//	err := c.Keep(ctx)
//
// with a Changer of the same target and folder. And at boot, before guests are
// started:
//
//	err := c.Boot(ctx) // what was confirmed last
//
// # What it promises
//
// Before anything is changed, what is there (rules, bridges, and the routes
// through these bridges) is on disk, and two keepers run: processes in
// sessions of their own, which neither the end of a login nor of the caller
// reaches. If nobody confirms in time, either of them makes the network as it
// was. So it goes back
//
//   - when the caller, one keeper, or the caller and one keeper are killed;
//   - when a keeper is asked to end (SIGTERM): at once;
//   - when the host loses its power: Boot applies what was confirmed last.
//
// When both keepers are killed, the next call of Settle, Boot or Apply takes
// the change back.
//
// Apply refuses what cuts the way to Options.Management, what the managers
// refuse (ports that dom0 listens on, uplinks under the guard), and a second
// change while one is pending.
//
// # What it does not promise
//
// Rules that are not ours: they are neither changed nor kept. Time passes by
// the clock that counts sleep and ignores the wall clock (CLOCK_BOOTTIME).
package confirm
