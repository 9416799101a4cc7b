package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// state is what GET /state tells.
type state struct {
	started time.Time

	mu       sync.Mutex
	Name     string  `json:"name"`
	Boots    uint64  `json:"boots"`    // counted on the disk; 0: no disk
	Sequence uint64  `json:"sequence"` // the last durable record
	Uptime   float64 `json:"uptime"`   // seconds
	Fault    string  `json:"fault,omitempty"`
}

func (s *state) wrote(sequence, boots uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Sequence, s.Boots = sequence, boots
}

func (s *state) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Fault = err.Error()
}

func (s *state) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/state" {
		fmt.Fprintf(w, "hello from %s\n", s.Name)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Uptime = time.Since(s.started).Seconds()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s)
}

func serveHTTP(s *state) {
	server := http.Server{Addr: ":80", Handler: s, ReadHeaderTimeout: 30 * time.Second}
	say("http: %v", server.ListenAndServe())
}

func serveEcho() {
	l, err := net.Listen("tcp", ":7")
	if err != nil {
		say("echo: %v", err)
		return
	}
	for {
		c, err := l.Accept()
		if err != nil {
			say("echo: %v", err)
			return
		}
		go func() {
			defer c.Close()
			_, _ = io.Copy(c, c)
		}()
	}
}

// dirty writes to bytes of memory a second, page by page.
func dirty(bytes int) {
	page := os.Getpagesize()
	pages := max(bytes/page, 1)
	memory := make([]byte, min(pages*page, 32<<20))
	const slices = 20 // of a second
	tick := time.NewTicker(time.Second / slices)
	at, owed := 0, 0
	for range tick.C {
		for owed += pages; owed >= slices; owed -= slices {
			memory[at]++
			at = (at + page) % len(memory)
		}
	}
}
