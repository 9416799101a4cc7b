// Package migratetest gives two simulated Xen hosts with a cable between them,
// whose guests live and remember, for tests of whatever moves guests.
//
//	w, err := migratetest.NewWorld(t.TempDir(), nil)     // hosts curacao and islay
//	defer w.Close()
//	guest, err := w.Provision(ctx, "curacao", w.Guest("web1", 4<<20))
//	remote, err := w.Dial(ctx, "curacao", "islay")       // a migrate.Remote over a pipe
//	plan, err := migrate.PlanMove(ctx, w.Host("curacao"), remote, guest.UUID, migrate.Cold, nil)
//	...
//	w.Cut(); w.Mend()                                    // the cable
//	w.PowerOff("curacao"); w.PowerOn(ctx, "curacao")     // a plug
//	killed := migratetest.Kill(func() { plan.Run(ctx) }) // with Die in Options.OnStep
//	err = w.Check(ctx)                                   // what must hold at every moment
//	err = w.Settled(ctx, guest.UUID)                     // what must hold in the end
//
// A guest of a World appends records to its first disk, each with a number and
// the hash of the one before, and tells the World each number once it is
// written. So the World knows what a copy of that guest must have: it notes
// when a copy starts that lacks a record that was acknowledged, and when two
// copies run at the same time, even if nobody calls Check then.
//
// It does not model: writes that a disk loses because nobody called Sync, and
// time (a step takes as long as the work on sparse files).
package migratetest
