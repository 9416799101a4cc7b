package network

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/xenhost/xenhost/xen/dom0"
)

// nft keeps our lines in the table xenhost of nf_tables, one for each address
// family that has any. The table is ours whole: what others put into it is lost
// when it is written anew.
type nft struct {
	nftRules
	runner dom0.Runner
}

// read implements backend.
func (n *nft) read(ctx context.Context) (lines, stamp, error) {
	was, err := generation()
	if err != nil {
		return nil, 0, err
	}
	out := lines{}
	for _, f := range families() {
		tables, err := nfTables(f)
		if err != nil {
			return nil, 0, err
		}
		if !tables[nftTable] {
			continue
		}
		text, err := dom0.Output(ctx, n.runner, "nft", "list", "table", string(f), nftTable)
		if err != nil {
			return nil, 0, err
		}
		for name, elements := range parseTable(string(text)) {
			out[place{family: f, name: name}] = elements
		}
		mark, err := programMark(f)
		if err != nil {
			return nil, 0, err
		}
		out.judge(f, mark)
	}
	return out, was, nil
}

// judge finds out whether the chains are as they were when we wrote them: an
// element keeps their mark.
func (l lines) judge(f family, hash string) {
	at, kept := place{family: f, name: programPlace}, place{family: f, name: factsSet}
	l[at] = []string{"altered"}
	l[kept] = slices.DeleteFunc(l[kept], func(text string) bool {
		fact, _ := nftFact(factsSet, text)
		if fact == programPlace+" "+hash {
			l[at] = []string{intact}
		}
		return strings.HasPrefix(fact, programPlace+" ")
	})
	if len(l[kept]) == 0 {
		delete(l, kept)
	}
}

// says implements backend.
func (n *nft) says(p place, text string) (string, bool) { return nftFact(p.name, text) }

// stamp implements backend.
func (n *nft) stamp(context.Context) (stamp, error) { return generation() }

// becomes implements backend.
func (n *nft) becomes(was stamp, w written) stamp { return was + stamp(w.commits) }

// write implements backend: one nft -f for both families, which the kernel does
// whole or not at all, and one more when chains are new, which keeps their mark.
func (n *nft) write(ctx context.Context, before, after lines) (written, error) {
	done := written{before: before, after: after}
	var script strings.Builder
	var fresh []family
	for _, f := range families() {
		at := place{family: f, name: programPlace}
		_, had := before[at]
		_, has := after[at]
		switch {
		case slices.Equal(before[at], after[at]):
			nftDelta(&script, f, before, after)
			continue
		case had:
			fmt.Fprintf(&script, "delete table %s %s\n", f, nftTable)
		}
		if has {
			script.WriteString(nftProgram(f))
			nftDelta(&script, f, nil, after)
			fresh = append(fresh, f)
		}
	}
	if err := n.run(ctx, script.String(), &done); err != nil {
		return done, err
	}
	script.Reset()
	for _, f := range fresh {
		mark, err := programMark(f)
		if err != nil {
			return done, err
		}
		keep := element(f, factsSet, "::", programPlace+" "+mark, "")
		fmt.Fprintf(&script, "add element %s %s %s { %s }\n", f, nftTable, factsSet, keep.text)
	}
	return done, n.run(ctx, script.String(), &done)
}

func (n *nft) run(ctx context.Context, script string, done *written) error {
	if script == "" {
		return nil
	}
	done.commits++
	return n.runner.Run(ctx, dom0.Cmd{Args: []string{"nft", "-f", "-"}, Stdin: strings.NewReader(script)})
}

// nftDelta writes what makes the elements of one family those after.
func nftDelta(script io.Writer, f family, before, after lines) {
	all := lines{}
	maps.Copy(all, before)
	maps.Copy(all, after)
	places := slices.SortedFunc(maps.Keys(all), func(a, b place) int { return cmp.Compare(a.name, b.name) })
	for _, verb := range []string{"delete", "add"} {
		for _, p := range places {
			if p.family != f || p.name == programPlace {
				continue
			}
			gone, come := elementChanges(before[p], after[p])
			switch {
			case p.name == pinChn || p.name == masqChn:
				if verb == "add" && len(gone)+len(come) > 0 {
					fmt.Fprintf(script, "flush chain %s %s %s\n", f, nftTable, p.name)
					for _, text := range after[p] {
						fmt.Fprintf(script, "add rule %s %s %s %s\n", f, nftTable, p.name, text)
					}
				}
			case verb == "delete":
				each(script, verb, p, gone)
			default:
				each(script, verb, p, come)
			}
		}
	}
}

func each(script io.Writer, verb string, p place, elements []string) {
	if len(elements) == 0 {
		return
	}
	if verb == "delete" {
		elements = slices.Clone(elements)
		for i, e := range elements {
			elements[i], _, _ = strings.Cut(e, ` comment "`)
		}
	}
	fmt.Fprintf(script, "%s element %s %s %s {\n%s\n}\n", verb, p.family, nftTable, p.name, strings.Join(elements, ",\n"))
}

// elementChanges compares the elements of one set. One that lacks our comment
// stays as it is.
func elementChanges(have, want []string) (gone, come []string) {
	wanted, there := map[string]bool{}, map[string]bool{}
	for _, e := range want {
		wanted[e] = true
	}
	for _, e := range have {
		there[e] = true
		if strings.Contains(e, ` comment "`) && !wanted[e] {
			gone = append(gone, e)
		}
	}
	for _, e := range want {
		if !there[e] {
			come = append(come, e)
		}
	}
	return gone, come
}
