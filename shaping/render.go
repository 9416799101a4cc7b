package shaping

import "math"

// What the kernel is told, as numbers. Rates are in bytes a second here, and
// buckets in ticks of 64 ns, which is what tc counts in.

// frame is more than the largest packet that a guest hands over at once (64 KiB
// of TCP, which leaves as some fifty frames, each with its headers). A bucket
// below it makes the kernel cut such packets up itself.
const frame = 72 << 10

const (
	longest = 50 // ms that a queue may hold at its rate before it drops
	refill  = 10 // ms of its rate that a bucket holds: what a busy dom0 comes late by
)

// bucket is a token bucket filter: the root queue of a vif.
type bucket struct {
	rate          uint64
	limit, buffer uint32
}

// class is a class of the uplink's HTB.
type class struct {
	rate, ceil                         uint64
	buffer, cbuffer, quantum, priority uint32
}

// quantum is how much a class of weight 1 sends in its turn when guests share
// what is left. With less than a frame the turns would be of one packet each,
// and the weights void.
const quantum = frame

// download is the bucket of each of the guest's vifs; ok is false if there is
// no limit.
func (p Policy) download() (b bucket, ok bool) {
	return p.bucketOf(p.Download)
}

// send is the bucket for what each of the guest's vifs sends.
func (p Policy) send() (b bucket, ok bool) { return p.bucketOf(p.Send) }

func (p Policy) bucketOf(r Rate) (b bucket, ok bool) {
	if r == 0 {
		return bucket{}, false
	}
	rate := uint64(r) / 8
	return bucket{
		rate:   rate,
		limit:  queue(r),
		buffer: ticks(max(burst(r), p.Burst), rate),
	}, true
}

// upload is the guest's class on the uplink.
func (p Policy) upload(u Uplink) class {
	rate, ceil := p.Upload, p.Ceil
	if ceil == 0 {
		ceil = rate
	}
	if ceil == 0 || ceil > u.Rate {
		ceil = u.Rate
	}
	rate = min(max(rate, MinRate), ceil) // HTB has no class without a rate
	c := plainClass(rate, ceil)
	c.buffer = ticks(max(burst(rate), p.Burst), c.rate)
	c.quantum = quantum * uint32(max(p.Weight, 1))
	c.priority = uint32(p.Priority)
	return c
}

// line is the class above all others, dom0 the one of all that is no guest's.
func (u Uplink) line() class { return plainClass(u.Rate, u.Rate) }
func (u Uplink) dom0() class {
	c := plainClass(u.Dom0, u.Rate)
	c.quantum = quantum * MaxWeight
	return c
}

func plainClass(rate, ceil Rate) class {
	c := class{rate: uint64(rate) / 8, ceil: uint64(ceil) / 8, quantum: quantum}
	c.buffer, c.cbuffer = ticks(burst(rate), c.rate), ticks(burst(ceil), c.ceil)
	return c
}

// burst is the smallest bucket, in bytes, with which a rate is reached.
func burst(r Rate) int64 { return min(max(int64(r)/8*refill/1000, frame), 4<<20) }

// queue is how many bytes may wait for a rate.
func queue(r Rate) uint32 { return uint32(min(int64(r)/8*longest/1000+frame, math.MaxInt32)) }

// ticks is the time in which a rate fills a bucket.
func ticks(bytes int64, rate uint64) uint32 {
	return uint32(min(uint64(bytes)*1e9/rate/64, math.MaxUint32))
}
