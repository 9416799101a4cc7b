package xenstoretest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"

	"github.com/xenhost/xenhost/xen/xenstore"
)

// Quotas of a domain other than dom0.
type Quotas struct {
	Nodes        int // 0 is 1000
	Watches      int // 0 is 128
	NodeSize     int // bytes of a node with its children's names; 0 is 2048
	Transactions int // 0 is 10
	Perms        int // of a node; 0 is 5
	TxNodes      int // touched in one transaction; 0 is 1024
}

// Server is a xenstored in memory. It is safe for concurrent use.
type Server struct {
	quotas Quotas

	mu         sync.Mutex
	nodes      map[string]*node
	generation uint64
	lastTx     uint32
	conns      []*conn // in the order of their making
	introduced map[int]bool
	conflicts  int
	hang       chan struct{} // closed while the server answers
}

// New returns a server that holds the empty folders which every host has:
// /local/domain, /tool, /vm and /libxl; quotas may be nil. Dom0 is introduced.
func New(quotas *Quotas) *Server {
	s := &Server{nodes: make(map[string]*node), introduced: map[int]bool{0: true}, hang: make(chan struct{})}
	close(s.hang)
	if quotas != nil {
		s.quotas = *quotas
	}
	for _, q := range []struct {
		field *int
		value int
	}{
		{&s.quotas.Nodes, 1000}, {&s.quotas.Watches, 128}, {&s.quotas.NodeSize, 2048},
		{&s.quotas.Transactions, 10}, {&s.quotas.Perms, 5}, {&s.quotas.TxNodes, 1024},
	} {
		if *q.field == 0 {
			*q.field = q.value
		}
	}
	for _, path := range []string{"/", "/local", "/local/domain", "/tool", "/vm", "/libxl"} {
		s.view(nil).make(path, &node{perms: []xenstore.Perm{{Domain: 0, Access: xenstore.None}}})
	}
	return s
}

// Pipe returns the client's end of a new connection of a domain.
func (s *Server) Pipe(domid int) net.Conn {
	ours, theirs := net.Pipe()
	s.serve(ours, domid)
	return theirs
}

// Dial returns a client of dom0; opts may be nil.
func (s *Server) Dial(opts *xenstore.Options) *xenstore.Client { return s.DialAs(0, opts) }

// DialAs returns a client with the rights of a domain, as its own kernel has
// them; opts may be nil.
func (s *Server) DialAs(domid int, opts *xenstore.Options) *xenstore.Client {
	return xenstore.NewClient(s.Pipe(domid), opts)
}

// Listen serves a socket at path, for dom0, until ctx ends. It returns when
// the socket is there.
func (s *Server) Listen(ctx context.Context, path string) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("xenstoretest: %w", err)
	}
	context.AfterFunc(ctx, func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.serve(c, 0)
		}
	}()
	return nil
}

// Introduce connects a domain, as the toolstack does while it makes one, and
// rings xenstore.IntroduceDomain.
func (s *Server) Introduce(domid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.introduced[domid] = true
	s.fire(nil, xenstore.IntroduceDomain, nil, false)
}

// Release ends a domain and its connections and rings xenstore.ReleaseDomain.
func (s *Server) Release(domid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.introduced, domid)
	for _, c := range slices.Clone(s.conns) {
		if c.domid == domid && domid != 0 {
			s.drop(c)
		}
	}
	s.fire(nil, xenstore.ReleaseDomain, nil, false)
}

// Shutdown rings xenstore.ReleaseDomain alone: a domain shut down or was
// suspended, and is still there.
func (s *Server) Shutdown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fire(nil, xenstore.ReleaseDomain, nil, false)
}

// Conflict makes the next n transactions that would succeed meet a conflict.
func (s *Server) Conflict(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conflicts = n
}

// Hang makes the server answer nobody until Resume; requests wait.
func (s *Server) Hang() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.hung() {
		s.hang = make(chan struct{})
	}
}

// Resume ends a Hang.
func (s *Server) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hung() {
		close(s.hang)
	}
}

func (s *Server) hung() bool {
	select {
	case <-s.hang:
		return false
	default:
		return true
	}
}

// Restart ends all connections, with their watches and transactions. What was
// stored stays.
func (s *Server) Restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range slices.Clone(s.conns) {
		s.drop(c)
	}
}

// Watches returns how many watches all connections have.
func (s *Server) Watches() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		n += len(c.watches)
	}
	return n
}

// Transactions returns how many transactions are open.
func (s *Server) Transactions() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		n += len(c.txs)
	}
	return n
}

// Errors by the names that xenstored has for them.
var (
	errNotExist = errors.New("ENOENT")
	errExist    = errors.New("EEXIST")
	errAccess   = errors.New("EACCES")
	errPerm     = errors.New("EPERM")
	errInvalid  = errors.New("EINVAL")
	errNoSpace  = errors.New("ENOSPC")
	errTooBig   = errors.New("E2BIG")
	errAgain    = errors.New("EAGAIN")
	errNoSuchOp = errors.New("ENOSYS")
)
