package shaping

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/nlattr"
)

// What a guest sends arrives at its vif, and what arrives can not wait in a
// queue there. So for Policy.Send it takes a way round, before any bridge or
// rule sees it: through an interface of its own (ifb), on which it leaves, with
// a bucket as on the vif.
//
//	ip link add xs0123456789abc type ifb; ip link set xs0123456789abc up alias "xenhost_shaping VIF"
//	tc qdisc add dev xs0123456789abc root handle 5650: tbf rate R burst B limit L
//	tc qdisc add dev VIF ingress
//	tc filter add dev VIF ingress pref 22096 u32 match u32 0 0 action mirred egress redirect dev xs0123456789abc

const (
	ingress       uint32 = 0xffff0000 // handle of the queue of what arrives
	ingressParent uint32 = 0xfffffff1
	redirectPref  uint32 = 0x5650
	aliasMark            = "xenhost_shaping "
	sizeMirred           = 28
)

// wayRound is the name of the interface for what arrives at a vif.
func wayRound(vif string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(vif))
	return fmt.Sprintf("xs%013x", h.Sum64()>>12)
}

// makeWayRound makes the interface, up. It is said twice: the kernel gives an
// alias only to an interface that is there. EOPNOTSUPP: it has no ifb.
func makeWayRound(vif string) []message {
	m := nl.NewIfInfomsg(unix.AF_UNSPEC)
	m.Flags, m.Change = unix.IFF_UP, unix.IFF_UP
	body := append([]byte(nil), m.Serialize()...)
	body = append(body, nlattr.New(unix.IFLA_IFNAME, nlattr.Text(wayRound(vif)))...)
	body = append(body, nlattr.New(unix.IFLA_IFALIAS, []byte(aliasMark+vif))...)
	body = append(body, nlattr.Nest(unix.IFLA_LINKINFO, nlattr.New(unix.IFLA_INFO_KIND, []byte("ifb")))...)
	say := message{kind: unix.RTM_NEWLINK, flags: unix.NLM_F_CREATE, body: body,
		about: "limit what vif " + vif + " sends", means: func(e syscall.Errno) error {
			if e == unix.EOPNOTSUPP {
				return fmt.Errorf("this kernel has no ifb: %w", errors.ErrUnsupported)
			}
			return e
		}}
	return []message{say, say}
}

func dropLink(link int32, about string) message {
	m := nl.NewIfInfomsg(unix.AF_UNSPEC)
	m.Index = link
	return message{kind: unix.RTM_DELLINK, body: append([]byte(nil), m.Serialize()...), about: about, means: absence}
}

// redirect sends all that arrives at a link to another one.
func redirect(link, to int32, about string) []message {
	stay := tcMessage(unix.RTM_NEWQDISC, unix.NLM_F_CREATE, link, ingress, ingressParent, about, kindOf("ingress"))
	all := nl.TcU32Sel{Flags: nl.TC_U32_TERMINAL, Nkeys: 1, Keys: make([]nl.TcU32Key, 1)}
	move := make([]byte, sizeMirred)            // index, capab, action, two counts, eaction, ifindex
	binary.NativeEndian.PutUint32(move[8:], 4)  // TC_ACT_STOLEN
	binary.NativeEndian.PutUint32(move[20:], 1) // TCA_EGRESS_REDIR
	binary.NativeEndian.PutUint32(move[24:], uint32(to))
	rule := tcMessage(unix.RTM_NEWTFILTER, unix.NLM_F_CREATE, link, 0, ingress, about, kindOf("u32"),
		nlattr.Nest(nl.TCA_OPTIONS, nlattr.New(nl.TCA_U32_SEL, all.Serialize()),
			nlattr.Nest(nl.TCA_U32_ACT, nlattr.Nest(1, nlattr.New(nl.TCA_ACT_KIND, nlattr.Text("mirred")),
				nlattr.Nest(nl.TCA_ACT_OPTIONS, nlattr.New(nl.TCA_MIRRED_PARMS, move))))))
	return []message{stay, dropRedirect(link, about), preferred(rule)}
}

func dropRedirect(link int32, about string) message {
	return preferred(tcMessage(unix.RTM_DELTFILTER, 0, link, 0, ingress, about))
}

// preferred gives a filter its place, and all protocols.
func preferred(m message) message {
	const all = 0x0300 // ETH_P_ALL, in the network's order
	binary.NativeEndian.PutUint32(m.body[16:], redirectPref<<16|all)
	if m.kind == unix.RTM_NEWTFILTER {
		m.means = refusal
	}
	return m
}

func dropIngress(link int32, about string) message {
	return tcMessage(unix.RTM_DELQDISC, 0, link, ingress, ingressParent, about)
}

// lookRound reads where vifs that have a way round send what arrives.
func (k *kernel) lookRound(seen *observed) error {
	for vif := range seen.rounds {
		link, there := seen.links[vif]
		if !there || seen.leaves[leafAt{link, ingressParent}] == "" {
			continue
		}
		filters, err := k.route.ask(tcMessage(unix.RTM_GETTFILTER, unix.NLM_F_DUMP, link, 0, ingress, "list filters"))
		if err != nil {
			return err
		}
		for _, b := range filters {
			seen.addFilter(b)
		}
	}
	return nil
}

func (o *observed) addFilter(body []byte) {
	if len(body) < nl.SizeofTcMsg {
		return
	}
	m := nl.DeserializeTcMsg(body)
	if m.Info>>16 != redirectPref {
		o.others[m.Ifindex] = true
		return
	}
	act := nlattr.Find(body[nl.SizeofTcMsg:], nl.TCA_OPTIONS, nl.TCA_U32_ACT, 1, nl.TCA_ACT_OPTIONS, nl.TCA_MIRRED_PARMS)
	if len(act) >= sizeMirred {
		o.targets[m.Ifindex] = int32(binary.NativeEndian.Uint32(act[24:]))
	}
}

// roundOf is the vif that an interface of ours is for, by its alias.
func roundOf(name, alias string) (vif string, ours bool) {
	vif, ours = strings.CutPrefix(alias, aliasMark)
	return vif, ours && name == wayRound(vif)
}

// planSend limits what a guest's vif sends, or lets it go.
func (o observed) planSend(j *job, vif string, want bucket, limited bool) error {
	round, made := o.rounds[vif]
	link, there := o.links[vif]
	about := "limit what vif " + vif + " sends"
	switch {
	case !limited:
		o.dropRound(j, vif)
		return nil
	case there && o.leaves[leafAt{link, ingressParent}] == "clsact":
		return root{kind: "clsact", handle: ingress}.obstructs("vif " + vif)
	case !there:
		return nil
	case !made:
		j.links = append(j.links, makeWayRound(vif)...)
		return nil
	}
	if r := o.roots[round]; !r.ours(vifRoot) || r.bucket != want {
		j.set = append(j.set, setBucket(round, want, about))
	}
	if o.targets[link] != round || o.leaves[leafAt{link, ingressParent}] == "" {
		j.set = append(j.set, redirect(link, round, about)...)
	}
	return nil
}

// dropRound takes a way round away. What is in it is sent no more.
func (o observed) dropRound(j *job, vif string) {
	round, made := o.rounds[vif]
	if !made {
		return
	}
	about := "take the limit off what vif " + vif + " sends"
	if link, there := o.links[vif]; there && o.leaves[leafAt{link, ingressParent}] == "ingress" {
		if o.targets[link] == round {
			j.drop = append(j.drop, dropRedirect(link, about))
		}
		if !o.others[link] {
			j.drop = append(j.drop, dropIngress(link, about))
		}
	}
	j.drop = append(j.drop, dropLink(round, about))
}

// sendInForce tells whether a vif that is there sends as it should.
func (o observed) sendInForce(vif string, want bucket, limited bool) bool {
	round, made := o.rounds[vif]
	link := o.links[vif]
	if !limited {
		return !made || o.targets[link] != round
	}
	r := o.roots[round]
	return made && r.ours(vifRoot) && r.bucket == want && o.targets[link] == round
}
