package shaping

import (
	"slices"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/nlattr"
)

// observed is the host as one look at it shows.
type observed struct {
	record
	links   map[string]int32
	roots   map[int32]root
	leaves  map[leafAt]string // their kinds
	classes map[uint32]class  // of the uplink
	flows   map[uint32]Flow

	rounds  map[string]int32 // by vif: its way round, see send.go
	targets map[int32]int32  // where what arrives at a vif is sent
	others  map[int32]bool   // vifs that have filters which are not ours
}

type leafAt struct {
	link   int32
	parent uint32
}

func observe(r record) observed {
	return observed{
		record: r, links: map[string]int32{}, roots: map[int32]root{}, leaves: map[leafAt]string{},
		classes: map[uint32]class{}, flows: map[uint32]Flow{},
		rounds: map[string]int32{}, targets: map[int32]int32{}, others: map[int32]bool{},
	}
}

// look reads all of the host: links, queues and the uplink's classes.
func (k *kernel) look() (observed, error) {
	r, err := k.recall()
	seen := observe(r)
	if err != nil {
		return seen, err
	}
	links, err := k.route.ask(linkMessage(unix.NLM_F_DUMP, ""))
	if err != nil {
		return seen, err
	}
	for _, b := range links {
		seen.addLink(b)
	}
	queues, err := k.route.ask(tcMessage(unix.RTM_GETQDISC, unix.NLM_F_DUMP, 0, 0, 0, "list queues"))
	if err != nil {
		return seen, err
	}
	for _, b := range queues {
		seen.addQueue(b)
	}
	if err := k.lookRound(&seen); err != nil {
		return seen, err
	}
	if link, ok := seen.links[seen.noted.Uplink.Dev]; ok {
		err = k.lookClasses(&seen, link)
	}
	return seen, err
}

func (k *kernel) lookClasses(seen *observed, link int32) error {
	if !seen.roots[link].ours(uplinkRoot) {
		return nil
	}
	classes, err := k.route.ask(tcMessage(unix.RTM_GETTCLASS, unix.NLM_F_DUMP, link, 0, 0, "list classes"))
	for _, b := range classes {
		seen.addClass(b)
	}
	return err
}

// glance reads what concerns a few vifs, and one class of the uplink, so that
// one guest costs the same on every host.
func (k *kernel) glance(r record, id uint32, vifs []string) (observed, error) {
	seen := observe(r)
	err := k.glanceAt(&seen, id, vifs)
	return seen, err
}

func (k *kernel) glanceAt(seen *observed, id uint32, vifs []string) error {
	up := seen.noted.Uplink.Dev
	names := append(slices.Clone(vifs), up)
	for _, v := range vifs {
		names = append(names, wayRound(v))
	}
	for _, name := range names {
		if name == "" {
			continue
		}
		found, err := k.route.ask(linkMessage(0, name))
		if err != nil {
			return err
		}
		for _, b := range found {
			seen.addLink(b)
		}
		if link, ok := seen.links[name]; ok {
			if err := k.glanceQueue(seen, link, atRoot); err != nil {
				return err
			}
		}
	}
	for _, v := range vifs {
		if link, there := seen.links[v]; there {
			if err := k.glanceQueue(seen, link, ingressParent); err != nil {
				return err
			}
		}
	}
	if err := k.lookRound(seen); err != nil {
		return err
	}
	link, ok := seen.links[up]
	if !ok || !seen.roots[link].ours(uplinkRoot) {
		return nil
	}
	for _, c := range []uint32{lineClass, dom0Class, id} {
		if c == 0 {
			continue
		}
		found, err := k.route.ask(tcMessage(unix.RTM_GETTCLASS, 0, link, c, 0, "look at a class of "+up))
		if err != nil {
			return err
		}
		for _, b := range found {
			seen.addClass(b)
		}
	}
	if _, ok := seen.classes[id]; ok {
		return k.glanceQueue(seen, link, id)
	}
	return nil
}

func (k *kernel) glanceQueue(seen *observed, link int32, parent uint32) error {
	found, err := k.route.ask(tcMessage(unix.RTM_GETQDISC, 0, link, 0, parent, "look at a queue"))
	for _, b := range found {
		seen.addQueue(b)
	}
	return err
}

const skipStatistics = 1 << 3 // RTEXT_FILTER_SKIP_STATS

// linkMessage asks for one interface or all, without their statistics.
func linkMessage(flags uint16, name string) message {
	body := append([]byte(nil), nl.NewIfInfomsg(unix.AF_UNSPEC).Serialize()...)
	body = append(body, nlattr.New(unix.IFLA_EXT_MASK, native32(skipStatistics))...)
	if name != "" {
		body = append(body, nlattr.New(unix.IFLA_IFNAME, nlattr.Text(name))...)
	}
	return message{kind: unix.RTM_GETLINK, flags: flags, body: body, about: strings.TrimSpace("look for interface " + name), means: absence}
}

func (o *observed) addLink(body []byte) {
	if len(body) < unix.SizeofIfInfomsg {
		return
	}
	name := line(nlattr.Find(body[unix.SizeofIfInfomsg:], unix.IFLA_IFNAME))
	if name == "" {
		return
	}
	index := nl.DeserializeIfInfomsg(body).Index
	o.links[name] = index
	if vif, ours := roundOf(name, line(nlattr.Find(body[unix.SizeofIfInfomsg:], unix.IFLA_IFALIAS))); ours {
		o.rounds[vif] = index
	}
}

func (o *observed) addQueue(body []byte) {
	if len(body) < nl.SizeofTcMsg {
		return
	}
	m := nl.DeserializeTcMsg(body)
	if r, ok := parseRoot(body); ok {
		o.roots[m.Ifindex] = r
	} else {
		o.leaves[leafAt{m.Ifindex, m.Parent}] = line(nlattr.Find(body[nl.SizeofTcMsg:], nl.TCA_KIND))
	}
}

func (o *observed) addClass(body []byte) {
	if id, c, f, ok := parseClass(body); ok {
		o.classes[id], o.flows[id] = c, f
	}
}

// actual is the part of what was asked for that is in force.
func (o observed) actual() State {
	s := o.noted.Normalize()
	if !o.uplinkStands() {
		s.Uplink = Uplink{}
	}
	for i, g := range s.Guests {
		s.Guests[i] = o.actualGuest(g)
	}
	return s.Normalize()
}

func (o observed) actualGuest(g Guest) Guest {
	if o.inForce(g) {
		return g
	}
	return Guest{UUID: g.UUID, Vifs: g.Vifs}
}

func (o observed) uplinkStands() bool {
	u := o.noted.Uplink
	return u == Uplink{} || o.classes[lineClass] == u.line() && o.classes[dom0Class] == u.dom0()
}

func (o observed) inForce(g Guest) bool {
	limits := g.Limits()
	wanted, limited := limits.download()
	send, sends := limits.send()
	for _, v := range g.Vifs {
		link, there := o.links[v]
		r := o.roots[link]
		if there && (limited != r.ours(vifRoot) || limited && r.bucket != wanted || !o.sendInForce(v, send, sends)) {
			return false
		}
	}
	return !o.torn[g.UUID] && (o.noted.Uplink == Uplink{} || o.classes[o.classOf(g)] == limits.upload(o.noted.Uplink))
}
