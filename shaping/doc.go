// Package shaping keeps what rates a dom0 gives its guests, in both directions.
//
// # Words
//
// Everything is said from the customer's side. Download is what a guest
// receives, upload what it sends to the world; send is what it sends to anyone,
// neighbours included. A policy is a guest's plan: a rate for each,
// a ceil up to which it may borrow what others leave, a burst, a weight and a
// priority. A throttle holds a guest below its policy until a given time. The
// uplink is the network card to the world; dom0 is promised a part of it, so
// that no guest can lock the operator out.
//
// # How it goes
//
// The whole host at once, as at boot. The lines above each call are what an
// operator would type for the same:
//
//	rates := shaping.New(nil)
//
//	// tc qdisc add dev eth0 root handle 5651: htb default fffe
//	// tc class add dev eth0 parent 5651: classid 5651:ffff htb rate 950mbit
//	// tc class add dev eth0 parent 5651:ffff classid 5651:fffe htb rate 95mbit ceil 950mbit
//	plan, err := rates.Apply(ctx, shaping.State{
//		Uplink: shaping.Uplink{Dev: "eth0", Rate: 950 * shaping.Mbit},
//	})
//
// One guest, before or after its domain is created:
//
//	// tc class replace dev eth0 parent 5651:ffff classid 5651:1 htb rate 10mbit ceil 100mbit
//	// nft add element bridge xenhost_shaping classes { x7f3a0b1c.0 : 5651:1 }
//	// tc qdisc add dev x7f3a0b1c.0 root handle 5650: tbf rate 100mbit burst 72kb latency 50ms
//	err = rates.Set(ctx, shaping.Guest{
//		UUID: id, Vifs: []string{"x7f3a0b1c.0"},
//		Policy: shaping.Policy{Download: 100 * shaping.Mbit, Upload: 10 * shaping.Mbit, Ceil: 100 * shaping.Mbit},
//	})
//
// A vif goes with its domain and comes back without its limit when the guest
// reboots. Keep, which runs as long as its context, puts it back within
// milliseconds, and ends throttles at their time:
//
//	err = rates.Keep(ctx, nil)
//
// Every call can be repeated. Read and Diff tell beforehand what Apply would do.
//
// # What is kept where
//
// Limits are made by shaping, not by policing: what is too fast waits in a
// queue and is not dropped. A download is limited by a token bucket on the
// guest's vif. Uploads share one HTB on the uplink, a class for each guest;
// the class is looked up once a packet by the vif that it came in by, in a map
// of nftables, however many guests there are. The queues are fq_codel where
// the kernel has it, else short.
//
// For Send, what arrives at a vif takes a way round through an interface of its
// own (ifb), named xs and 13 digits, with the vif's name in its alias.
//
// What is ours are the queues 5650: on vifs and on those interfaces, 5651: on
// the uplink, the filter 22096 of what arrives at vifs, and the nftables tables
// named xenhost_shaping. A queue that somebody else put on an interface is
// refused with ErrForeign and stays; so does every other table.
// The comments in the maps are the record of what was asked for, in the words
// of a plan:
//
//	nft list table bridge xenhost_shaping
//
// No file keeps anything: after a reboot of the host Apply, or one Set for each
// guest, makes all of it again.
//
// A changed rate is one message to the kernel, which changes the queue in
// place: no packet is lost, no connection breaks, counters go on, and there is
// no moment without a limit.
//
// # What it does not promise
//
//   - Limits between guests, and to dom0's own bridges, other than each
//     receiver's Download and the sender's Send. Upload is about what leaves
//     through the uplink.
//   - Guests behind a vif that is in no bridge: its packets go with dom0's.
//   - Two uplinks at once.
//   - Exact weights below about 1 Mbit/s a guest: turns are of one packet of
//     up to 64 KiB then.
//   - Surviving "nft flush ruleset": it takes the maps away, and uploads share
//     dom0's class until the next Apply.
//   - An interface that has a packet mark of its own before it comes to the
//     bridge: for guests' packets the mark becomes 0x5651 and the class.
package shaping
