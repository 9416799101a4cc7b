package main

import (
	"fmt"
	"io"
	"net"
	"time"
)

// gigabit is what a link of 1 Gbit/s carries of TCP, in bytes a second.
const gigabit = 118e6

// link is a server before another one, as far away as its rate says.
type link struct {
	net.Listener
	to   string
	rate float64 // bytes a second, each way
}

func newLink(to string, rate float64) (*link, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	k := &link{l, to, rate}
	go k.serve()
	return k, nil
}

func (k *link) port() int { return k.Addr().(*net.TCPAddr).Port }

func (k *link) serve() {
	for {
		near, err := k.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", k.to)
		if err != nil {
			near.Close()
			continue
		}
		for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
			go func() {
				_ = k.carry(way[1], way[0]) // either end may go
				way[1].Close()
			}()
		}
	}
}

// carry copies at the rate. What was not sent in time is lost, but for 10 ms.
func (k *link) carry(to io.Writer, from io.Reader) error {
	buf := make([]byte, 64<<10)
	for next := time.Now(); ; {
		n, err := from.Read(buf)
		if err != nil {
			return fmt.Errorf("link: %w", err)
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return fmt.Errorf("link: %w", err)
		}
		if late := time.Now().Add(-10 * time.Millisecond); next.Before(late) {
			next = late
		}
		next = next.Add(time.Duration(float64(n) / k.rate * float64(time.Second)))
		time.Sleep(time.Until(next))
	}
}
