// Package host composes a Xen host of its parts (domains, volumes, network, rates)
// and has the verbs that a hosting panel calls.
//
//	h := host.New(host.Config{
//		Name:    "curacao",
//		Domains: xl.New(dom0.Local{}, nil),
//		Volumes: lvm.New(dom0.Local{}, nil),
//		Network: network.New(nil),
//		Guard:   guard.New(nil),   // or none
//		Shaping: shaping.New(nil), // or none
//	})
//	g, err := h.Provision(ctx, host.Guest{Name: "web1", ...}, nil) // lvcreate, iptables-restore, xl create
//	how, err := h.Stop(ctx, g.UUID)                                // xl shutdown
//	err = h.Start(ctx, g.UUID)                                     // xl create
//	changes, err := h.ChangePlan(ctx, g.UUID, host.Plan{Memory: 2 << 30}, nil) // xl mem-set, lvextend, tc
//	g, err = h.SetForwards(ctx, g.UUID, forwards)                  // iptables-restore
//	how, err = h.Suspend(ctx, g.UUID, "not paid")                  // as Stop, and off until Unsuspend
//	err = h.Reinstall(ctx, g.UUID, opts)                           // its disks anew, from opts.Images
//	err = h.Terminate(ctx, g.UUID)                                 // xl destroy, lvremove
//
// In a unit test the parts are the fakes of xentest, lvmtest, networktest,
// guardtest, shapingtest and diskratetest; nothing else changes.
//
// # What is kept
//
// A Guest is the definition: what the guest should be. It stands in
// guests/UUID.json below Config.StateDir, written so that a power failure
// leaves the old or the new one. Beside it stands the owner record
// (UUID.owner.json, package owner), which says whether this host may run the
// guest. How far an operation got is never written down: it is read from the
// host, from the domains and the tags of the volumes.
//
// # Who may change a guest
//
// One operation at a time: each verb holds the guest by an flock, which ends
// with the process. ErrBusy tells that another operation has it now.
//
// # What is promised
//
// Provision, Receive and ChangePlan claim what they will need before they take any
// of it, and are refused if it is not there: see package capacity. What a guest was
// sold stays its own while it is off. Packages image and seed have what disks are
// made from, package billing has the verbs with an order's number.
//
// # What runs all the time
//
// Three verbs are for the process that stays, as agent run is one: Boot after
// power-on, then at the same time Supervise, which restarts guests that their
// toolstack left, and KeepRates, which puts limits back on vifs and disks that
// come again and ends throttles.
//
// # Moves
//
// The methods of Hold from Snapshot to Adopt are the two halves of a hand-over
// on one host. Package migrate calls them in the order that is safe; a panel
// has no need to.
//
// # What is not promised
//
// Verbs do not queue: a guest that is held is ErrBusy at once. An xl.cfg that
// an admin wrote by hand is not looked at; that it can not start what was
// handed away is because the volumes have no device nodes any more.
package host
