// Package xenhost is the root of an SDK for hosting companies that sell Xen
// guests from their own panels. It has no code of its own; start with
//
//   - xen/host: a whole Xen host and the verbs that a panel calls
//   - migrate: moves of guests between two hosts
//   - accounting: a ledger of what guests use
//   - xen, lvm, network, shaping: what those are made of, each usable alone
//   - xen/xentest, lvm/lvmtest, network/networktest, shaping/shapingtest,
//     accounting/accountingtest, migrate/migratetest: fakes that behave like the real thing, and the suites
//     that keep them so
//
// go run ./examples/quickstart shows the main job on simulated hosts.
package xenhost
