package shaping

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/nlattr"
)

// The handles that mark what is ours: 5650: on a vif, 5651: on the uplink, with
// a class for each guest, 5651:fffe for what is no guest's, and 5651:ffff, the
// line, above them.
const (
	vifRoot    uint32 = 0x5650 << 16
	uplinkRoot uint32 = 0x5651 << 16
	dom0Class         = uplinkRoot | 0xfffe
	lineClass         = uplinkRoot | 0xffff
	lastClass         = uplinkRoot | 0xfffd
)

const (
	atRoot   uint32 = 1<<32 - 1 // the parent of a root queue
	ethernet        = 1         // linklayer
)

// root is the queue at the root of an interface. The kernel's own have no handle.
type root struct {
	kind   string
	handle uint32
	bucket bucket // of a tbf
	flow   Flow
}

// ours, foreign: the kernel's default is neither.
func (r root) ours(handle uint32) bool {
	kind := "tbf"
	if handle == uplinkRoot {
		kind = "htb"
	}
	return r.handle == handle && r.kind == kind
}

func (r root) foreign(handle uint32) bool { return r.handle != 0 && !r.ours(handle) }

func (r root) obstructs(where string) error {
	return fmt.Errorf("%s: queue %s %x: %w", where, r.kind, r.handle>>16, ErrForeign)
}

// tcMessage is a request about a queue or class.
func tcMessage(kind, flags uint16, link int32, handle, parent uint32, about string, attributes ...[]byte) message {
	m := nl.TcMsg{Family: unix.AF_UNSPEC, Ifindex: link, Handle: handle, Parent: parent}
	body := append([]byte(nil), m.Serialize()...)
	for _, a := range attributes {
		body = append(body, a...)
	}
	out := message{kind: kind, flags: flags, body: body, about: about, means: absence}
	switch kind {
	case unix.RTM_NEWQDISC:
		out.means = refusal
	case unix.RTM_NEWTCLASS:
		out.means = nil
	}
	return out
}

// refusal says what the kernel's answer to a new queue means. A vif that went
// away while we spoke of it needs none.
func refusal(e syscall.Errno) error {
	switch e {
	case unix.ENODEV:
		return nil
	case unix.EEXIST:
		return fmt.Errorf("a queue %w", ErrForeign)
	case unix.ENOENT:
		return fmt.Errorf("this kernel has no such queue: %w", errors.ErrUnsupported)
	}
	return e
}

// absence is no error when something is looked for or taken away.
func absence(e syscall.Errno) error {
	switch e {
	case unix.ENODEV, unix.ENOENT, unix.EINVAL:
		return nil
	}
	return e
}

func kindOf(name string) []byte { return nlattr.New(nl.TCA_KIND, nlattr.Text(name)) }

// setBucket makes the root queue of a vif, or changes it where it is ours, with
// its counters kept. EEXIST: the one that is there is not ours; it stays.
//
//	tc qdisc add dev VIF root handle 5650: tbf rate R burst B limit L
func setBucket(link int32, b bucket, about string) message {
	opt := nl.TcTbfQopt{Rate: spec(b.rate), Limit: b.limit, Buffer: b.buffer}
	options := [][]byte{nlattr.New(nl.TCA_TBF_PARMS, opt.Serialize())}
	if opt.Rate.Rate == 1<<32-1 {
		options = append(options, nlattr.New(nl.TCA_TBF_RATE64, native64(b.rate)))
	}
	return tcMessage(unix.RTM_NEWQDISC, unix.NLM_F_CREATE, link, vifRoot, atRoot, about,
		kindOf("tbf"), nlattr.Nest(nl.TCA_OPTIONS, options...))
}

// setFairLeaf gives a bucket or class fq_codel, so that flows share it fairly
// and with short queues. ENOENT: the kernel has none.
//
//	tc qdisc add dev DEV parent P fq_codel
func setFairLeaf(link int32, parent uint32, about string) message {
	return tcMessage(unix.RTM_NEWQDISC, unix.NLM_F_CREATE, link, 0, parent, about, kindOf("fq_codel"))
}

// setShortLeaf gives a class a queue of so many bytes, or changes its length:
// the default is a thousand packets, which at a low rate is a minute.
//
//	tc qdisc add dev DEV parent P bfifo limit L
func setShortLeaf(link int32, parent, limit uint32, about string) message {
	return tcMessage(unix.RTM_NEWQDISC, unix.NLM_F_CREATE, link, 0, parent, about,
		kindOf("bfifo"), nlattr.New(nl.TCA_OPTIONS, native32(limit)))
}

// makeUplink makes the root queue of the uplink; until it has classes all
// traffic passes.
//
//	tc qdisc add dev UPLINK root handle 5651: htb default fffe
func makeUplink(link int32, about string) message {
	glob := nl.TcHtbGlob{Version: 3, Rate2Quantum: 10, Defcls: dom0Class & 0xffff}
	return tcMessage(unix.RTM_NEWQDISC, unix.NLM_F_CREATE, link, uplinkRoot, atRoot, about,
		kindOf("htb"), nlattr.Nest(nl.TCA_OPTIONS, nlattr.New(nl.TCA_HTB_INIT, glob.Serialize())))
}

// setClass makes or changes a class; its counters and its packets stay.
//
//	tc class replace dev UPLINK parent P classid C htb rate R ceil C burst B cburst B quantum Q prio N
func setClass(link int32, id, parent uint32, c class, about string) message {
	opt := nl.TcHtbCopt{Rate: spec(c.rate), Ceil: spec(c.ceil), Buffer: c.buffer, Cbuffer: c.cbuffer, Quantum: c.quantum, Prio: c.priority}
	options := [][]byte{nlattr.New(nl.TCA_HTB_PARMS, opt.Serialize())}
	if opt.Rate.Rate == 1<<32-1 {
		options = append(options, nlattr.New(nl.TCA_HTB_RATE64, native64(c.rate)))
	}
	if opt.Ceil.Rate == 1<<32-1 {
		options = append(options, nlattr.New(nl.TCA_HTB_CEIL64, native64(c.ceil)))
	}
	return tcMessage(unix.RTM_NEWTCLASS, unix.NLM_F_CREATE, link, id, parent, about,
		kindOf("htb"), nlattr.Nest(nl.TCA_OPTIONS, options...))
}

func dropClass(link int32, id uint32, about string) message {
	return tcMessage(unix.RTM_DELTCLASS, 0, link, id, 0, about)
}

// dropRoot removes a root queue with all its classes; the kernel's default
// takes its place.
func dropRoot(link int32, handle uint32, about string) message {
	return tcMessage(unix.RTM_DELQDISC, 0, link, handle, atRoot, about)
}

func spec(rate uint64) nl.TcRateSpec {
	return nl.TcRateSpec{Linklayer: ethernet, Rate: uint32(min(rate, 1<<32-1))}
}

// parseRoot reads an answer about a queue; ok is false if it is no root queue.
func parseRoot(body []byte) (r root, ok bool) {
	m, rest := nl.DeserializeTcMsg(body), body[nl.SizeofTcMsg:]
	if m.Parent != atRoot {
		return root{}, false
	}
	r = root{kind: line(nlattr.Find(rest, nl.TCA_KIND)), handle: m.Handle, flow: parseFlow(rest)}
	if p := nlattr.Find(rest, nl.TCA_OPTIONS, nl.TCA_TBF_PARMS); r.kind == "tbf" && len(p) >= nl.SizeofTcTbfQopt {
		opt := nl.DeserializeTcTbfQopt(p)
		r.bucket = bucket{uint64(opt.Rate.Rate), opt.Limit, opt.Buffer}
		if wide := nlattr.Find(rest, nl.TCA_OPTIONS, nl.TCA_TBF_RATE64); wide != nil {
			r.bucket.rate = number64(wide)
		}
	}
	return r, true
}

// parseClass reads an answer about a class; ok is false if it is none of HTB.
func parseClass(body []byte) (id uint32, c class, f Flow, ok bool) {
	if len(body) < nl.SizeofTcMsg {
		return 0, class{}, Flow{}, false
	}
	m, rest := nl.DeserializeTcMsg(body), body[nl.SizeofTcMsg:]
	p := nlattr.Find(rest, nl.TCA_OPTIONS, nl.TCA_HTB_PARMS)
	if line(nlattr.Find(rest, nl.TCA_KIND)) != "htb" || len(p) < nl.SizeofTcHtbCopt {
		return 0, class{}, Flow{}, false
	}
	opt := nl.DeserializeTcHtbCopt(p)
	c = class{uint64(opt.Rate.Rate), uint64(opt.Ceil.Rate), opt.Buffer, opt.Cbuffer, opt.Quantum, opt.Prio}
	if wide := nlattr.Find(rest, nl.TCA_OPTIONS, nl.TCA_HTB_RATE64); wide != nil {
		c.rate = number64(wide)
	}
	if wide := nlattr.Find(rest, nl.TCA_OPTIONS, nl.TCA_HTB_CEIL64); wide != nil {
		c.ceil = number64(wide)
	}
	return m.Handle, c, parseFlow(rest), true
}

// parseFlow reads the counters of a queue or class.
func parseFlow(rest []byte) Flow {
	var f Flow
	if basic := nlattr.Find(rest, nl.TCA_STATS2, nl.TCA_STATS_BASIC); len(basic) >= 12 {
		f.Bytes, f.Packets = number64(basic), number32(basic[8:])
	}
	if queue := nlattr.Find(rest, nl.TCA_STATS2, nl.TCA_STATS_QUEUE); len(queue) >= 12 { // qlen, backlog, drops
		f.Backlog, f.Drops = binary.NativeEndian.Uint32(queue[4:]), binary.NativeEndian.Uint32(queue[8:])
	}
	return f
}
