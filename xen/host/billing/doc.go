// Package billing has the verbs that a billing panel calls (WHMCS, Blesta,
// FOSSBilling and their like), on one host.
//
//	desk := billing.New(h, billing.Config{StateDir: "/var/lib/xenhost", Log: log})
//	panel := desk.As("whmcs")                      // who calls, for the audit
//	g, err := panel.Provision(ctx, billing.Order{ID: "4711", Customer: "anna", Guest: guest, Images: images})
//	err = panel.Suspend(ctx, ref, "not paid")      // stays off over reboots and moves
//	err = panel.Unsuspend(ctx, ref)
//	changes, err := panel.ChangePlan(ctx, ref, host.Plan{Memory: 2 << 30}, nil)
//	err = panel.Reinstall(ctx, ref, billing.Reinstallation{Job: "88", Images: images})
//	end, err := panel.Terminate(ctx, ref, billing.Termination{Name: "web1", Grace: 72 * time.Hour})
//	rows, err := panel.Usage(ctx, start, end)
//	pong, err := panel.Ping(ctx)
//
// # The same call twice
//
// A panel that had no answer calls again. Each verb can be called again with the
// same order and does nothing that is done: Provision returns the guest that is
// there, Terminate of what is terminated is no error, and a Reinstallation has a
// job number of its own, so that a late repetition destroys nothing. host.ErrBusy
// says that the first call is still at work. The guest's UUID follows from the
// order's number, and what a panel must find again stands in the guest's labels:
// there is no second list that could differ. Only that an order was terminated is
// kept in a file (orders/UUID.json), so that a late Provision of it makes nothing.
//
// # Who may
//
// Each verb checks that the guest is the order's and the customer's; Terminate
// wants its name too. Config.Authorize is asked before anything is looked at.
// Every call leaves one line in Config.Log, refused ones too.
//
// # What is not promised
//
// This package knows no prices, sends no mail, and decides nothing by itself:
// Sweep, which ends the grace of terminated orders, is called by whoever runs all
// the time. Orders of guests that live on another host are host.ErrNotOwner here.
package billing
