// Package capacity answers how much a host can still take, so that it never
// promises what it has not got.
//
//	picture, err := h.Capacity(ctx)                   // xl list, xl info, vgs, lvs
//	picture, err = picture.Sell(capacity.Need{Memory: 1 << 30})
//	where := capacity.Fit(pictures, need, 3)          // which hosts take three more of a plan
//	short := capacity.Survive(pictures)               // N+1: what has no place if a host dies
//
// # What counts
//
// Memory is what Xen has free, less what was promised to guests that do not have
// it now: those that are off, those that arrive, those that are being made. A
// guest that its owner stopped finds its memory again when it starts. Room of
// volume groups is what LVM has free, less the volumes that are promised and
// not there yet.
//
// # Claims
//
// An operation that will need more takes a Claim before it begins: host.Provision,
// an arriving move and a change of plan do so by themselves, one after the other
// under one lock of the host, so that two never count on the same bytes. A claim
// is a file that its process holds by flock: it ends with the process, however
// that ends, and the next claim clears the file away.
//
// # What is not promised
//
// While a domain is being built its memory can count twice for that time, never
// less than once. A domain that somebody starts by hand, or a volume that is made
// by hand, takes from what is free without asking; then Xen and LVM refuse.
package capacity
