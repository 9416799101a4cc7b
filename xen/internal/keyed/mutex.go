// Package keyed gives one lock to each key, so that operations on one domain
// wait for each other and those on different domains do not.
package keyed

import (
	"context"
	"sync"
)

// Mutex is a set of locks. The zero Mutex is ready to use.
type Mutex[K comparable] struct {
	mu   sync.Mutex
	held map[K]*entry
}

type entry struct {
	token   chan struct{} // holds one element while the lock is free
	holders int           // who has it or waits for it
}

// Lock waits until key is free and returns the function that frees it, or
// ctx's error.
func (m *Mutex[K]) Lock(ctx context.Context, key K) (unlock func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e := m.join(key)
	select {
	case <-e.token:
		return func() { e.token <- struct{}{}; m.leave(key, e) }, nil
	case <-ctx.Done():
		m.leave(key, e)
		return nil, ctx.Err()
	}
}

func (m *Mutex[K]) join(key K) *entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held == nil {
		m.held = make(map[K]*entry)
	}
	e := m.held[key]
	if e == nil {
		e = &entry{token: make(chan struct{}, 1)}
		e.token <- struct{}{}
		m.held[key] = e
	}
	e.holders++
	return e
}

func (m *Mutex[K]) leave(key K, e *entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.holders--; e.holders == 0 {
		delete(m.held, key)
	}
}
