package network

import "strings"

// nftTable is the name of our table, in the families ip and ip6.
const nftTable = "xenhost"

// Sets and maps of our table. For a forward there is one element (or one for
// each slot, if it is shared); the chains below never change.
const (
	factsSet  = "facts"     // what has no effect, as comments
	oneMap    = "one"       // whole addresses
	ownMap    = "own"       // and their way out
	homeSet   = "home"      // guests with a whole address, on their bridge
	atMap     = "at"        // one address, one port
	atRange   = "atrange"   // one address, ports
	atShare   = "atshare"   // one address, one port, several guests
	portMap   = "port"      // every address, one port
	portRangs = "portrange" // every address, ports
	portShare = "portshare" // every address, one port, several guests
	backSet   = "back"      // answers by this host
	pinChn    = "pin"       // hairpins, a rule each
	masqChn   = "masq"      // masquerades, a rule each
)

// spreadSlots is in how many parts new connections are divided among the guests
// that share a port: 60, since 2, 3, 4, 5 and 6 divide it.
const spreadSlots = 60

// nftProgram is our table without elements. It is the same on every host; what
// a state says is in the sets, so that a new connection costs a few look-ups
// however many forwards there are.
//
// There is no chain for forwarded packets: none of ours drops, and to accept
// them here would not keep another table from dropping them.
func nftProgram(f family) string {
	loop := "127.0.0.0/8"
	if f == v6 {
		loop = "::1"
	}
	return strings.NewReplacer("IP", string(f), "ADDR", map[family]string{v4: "ipv4_addr", v6: "ipv6_addr"}[f], "LOOP", loop).Replace(`
table IP xenhost {
	set facts { type ipv6_addr; }
	map one { type ADDR : ADDR; }
	map own { type ADDR : ADDR; }
	set home { type ADDR . ifname; }
	map at { type ADDR . inet_proto . inet_service : ADDR . inet_service; }
	map atrange { type ADDR . inet_proto . inet_service : ADDR; flags interval; }
	map atshare { typeof IP daddr . meta l4proto . th dport . numgen random mod 60 : IP daddr . th dport; }
	map port { type inet_proto . inet_service : ADDR . inet_service; }
	map portrange { type inet_proto . inet_service : ADDR; flags interval; }
	map portshare { typeof meta l4proto . th dport . numgen random mod 60 : IP daddr . th dport; }
	set back { type ADDR . inet_proto . inet_service; flags interval; }
	chain forwards {
		dnat to IP daddr map @one
		dnat IP to IP daddr . meta l4proto . th dport map @at
		dnat to IP daddr . meta l4proto . th dport map @atrange
		dnat IP to IP daddr . meta l4proto . th dport . numgen random mod 60 map @atshare
		dnat IP to meta l4proto . th dport map @port
		dnat to meta l4proto . th dport map @portrange
		dnat IP to meta l4proto . th dport . numgen random mod 60 map @portshare
	}
	chain pin { }
	chain masq { }
	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		fib daddr type local jump forwards
	}
	chain output {
		type nat hook output priority -100; policy accept;
		IP daddr != LOOP fib daddr type local jump forwards
	}
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ct status dnat jump pin
		ct status dnat IP daddr . meta l4proto . th dport @back masquerade
		IP saddr . oifname @home return
		snat to IP saddr map @own
		jump masq
	}
}
`)
}

// parseTable reads what nft list table prints: the elements of sets and maps,
// and the rules of the chains that a state fills. Each element stands on a line
// of its own or after a comma; ours hold no commas.
func parseTable(text string) map[string][]string {
	out := map[string][]string{}
	name, inside := "", false // the set or chain, and whether its elements are listed
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		word, after, _ := strings.Cut(line, " ")
		switch {
		case inside:
		case word == "set" || word == "map" || word == "chain":
			name, _, _ = strings.Cut(after, " ")
			continue
		case line == "" || strings.HasPrefix(line, "# ") || line == "}":
			continue
		case strings.HasPrefix(line, "elements = {"):
			line, inside = strings.TrimPrefix(line, "elements = {"), true
		case name == pinChn || name == masqChn:
			out[name] = append(out[name], line)
			continue
		default:
			continue
		}
		if strings.HasSuffix(line, "}") {
			line, inside = strings.TrimSuffix(line, "}"), false
		}
		for e := range strings.SplitSeq(line, ",") {
			if e = strings.TrimSpace(e); e != "" {
				out[name] = append(out[name], e)
			}
		}
	}
	return out
}
