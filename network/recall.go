package network

import (
	"context"
	"slices"
	"strings"
)

// Recorded implements Manager: it is what the firewall's tables say.
func (l *Linux) Recorded(ctx context.Context) (State, error) {
	var s State
	err := l.do(ctx, func(ctx context.Context, _ *kernel) error {
		seen, err := l.recall(ctx)
		s = seen.inPlace()
		return err
	})
	if err != nil {
		return State{}, &Error{Op: "read what is recorded", Err: err}
	}
	return s, nil
}

// recall is what the tables say. What is remembered is used as long as the
// stamp of the kernel is the same; otherwise all of it is read, which finds
// whatever a hand has changed in our chains.
func (l *Linux) recall(ctx context.Context) (observed, error) {
	if l.memory != nil {
		now, err := l.backend.stamp(ctx)
		if err != nil {
			return observed{}, err
		}
		if now == l.memory.stamp {
			return observed{book: l.memory.book, clean: true}, nil
		}
	}
	l.memory = nil
	have, stamp, err := l.backend.read(ctx)
	if err != nil {
		return observed{}, err
	}
	seen := l.understand(have)
	if seen.clean {
		l.memory = &memory{seen.book, stamp}
	}
	return seen, nil
}

// understand finds the state that lines tell, and whether they are what it needs.
func (l *Linux) understand(have lines) observed {
	found := map[string]bool{}
	var said []string
	for p, list := range have {
		for _, text := range list {
			fact, ok := l.backend.says(p, text)
			if !ok {
				continue
			}
			line, byHand := strings.CutPrefix(fact, foundWord)
			said = append(said, line)
			if byHand {
				found[line] = true
			}
		}
	}
	seen := observed{book: newBook(l.backend, stateOf(said), found), have: have}
	have.inWords(seen.book.needs)
	seen.clean = seen.book.needs.are(have)
	return seen
}

// lines are those that are in the kernel.
func (o observed) lines() lines {
	if o.clean {
		return o.book.needs.lines()
	}
	return o.have
}

// guests are those that the tables know, in order.
func (o observed) guests() []Guest { return o.book.state().Guests }

// present is a set of the lines that were read.
func (o observed) present() map[need]bool {
	out := map[need]bool{}
	for p, list := range o.have {
		for _, text := range list {
			out[need{at: p, text: text}] = true
		}
	}
	return out
}

// inPlace is the part of the state that is in force: facts all of whose lines
// are there.
func (o observed) inPlace() State {
	if o.clean {
		return o.book.state()
	}
	var kept []string
	there := o.present()
	for _, d := range append(o.book.hostDemands(), o.book.allDemands()...) {
		if !slices.ContainsFunc(d.needs, func(n need) bool { return !there[need{at: n.at, text: n.text}] }) {
			kept = append(kept, d.fact)
		}
	}
	return stateOf(kept)
}

// inForce is the part of one guest that is.
func (o observed) inForce(g Guest) (Guest, bool) {
	if o.clean {
		_, ok := o.book.guests[g.UUID]
		return g, ok
	}
	return o.inPlace().Guest(g.UUID)
}

// write makes the lines before those after, which the book needs, and remembers
// the book if nobody else wrote at the same time.
func (l *Linux) write(ctx context.Context, seen observed, next *book, before, after lines) error {
	was := stamp(0)
	if l.memory != nil {
		was = l.memory.stamp
	}
	l.memory = nil
	if err := l.forwardPackets(next); err != nil {
		return err
	}
	w, err := l.backend.write(ctx, before, after)
	if err == nil && seen.clean {
		l.memory = &memory{next, l.backend.becomes(was, w)}
	}
	return err
}
