package xenlab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Namespace is the network namespace that holds the lab's switches and stands
// for the Internet.
const Namespace = "xenhost-lab"

// Addresses of the Internet namespace.
const (
	InternetAddr = "203.0.113.254" // on the ISP's switch
	mgmtAddr     = "10.77.0.254"   // on the management switch
)

// Internet is the outside of the lab's hosts: a network namespace with an
// address on the ISP's switch. What is done through it goes over the wire to
// the hosts, as a customer's packets do.
type Internet struct{ lab *Lab }

// Internet returns the namespace, which is there while hosts are.
func (l *Lab) Internet() *Internet { return l.internet() }

func (l *Lab) internet() *Internet { return &Internet{lab: l} }

// Do calls f on a thread that is in the namespace: sockets that f opens, and
// processes that it starts, belong there. f must not start goroutines that do.
func (n *Internet) Do(f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	there, err := os.Open(filepath.Join("/run/netns", Namespace))
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("lab: no network: is a host up? %w", err)
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return os.NewSyscallError("setns", err)
	}
	result := f()
	if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
		// The thread stays locked and so ends with this goroutine.
		return errors.Join(result, os.NewSyscallError("setns", err))
	}
	runtime.UnlockOSThread()
	return result
}

// DialContext connects from the Internet. The address is an IP and a port.
func (n *Internet) DialContext(ctx context.Context, network, address string) (c net.Conn, err error) {
	err = n.Do(func() error {
		var d net.Dialer
		c, err = d.DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// Get asks for a page from the Internet and returns its body. A status other
// than 200 is an error. Each call makes a new connection.
func (n *Internet) Get(ctx context.Context, url string) ([]byte, error) {
	client := http.Client{
		Transport: &http.Transport{DialContext: n.DialContext, DisableKeepAlives: true},
		Timeout:   time.Minute,
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("lab: get %s: %s", url, answer.Status)
	}
	return body, err
}

// create makes what is missing of the namespace, its switches, and the other
// ends of a host's cables.
func (n *Internet) create(ctx context.Context, m Machine) error {
	n.lab.wiring.Lock()
	defer n.lab.wiring.Unlock()
	if _, err := os.Stat(filepath.Join("/run/netns", Namespace)); err != nil {
		if err := n.lab.tool(ctx, "ip", "netns", "add", Namespace); err != nil {
			return err
		}
	}
	ip := func(args ...string) error {
		return n.lab.tool(ctx, append([]string{"ip", "-n", Namespace}, args...)...)
	}
	links, err := n.lab.toolOutput(ctx, "ip", "-n", Namespace, "-o", "addr", "show")
	if err != nil {
		return err
	}
	more, err := n.lab.toolOutput(ctx, "ip", "-n", Namespace, "-o", "link", "show")
	if err != nil {
		return err
	}
	have := func(s string) bool { return bytes.Contains(links, []byte(s)) || bytes.Contains(more, []byte(s)) }
	var steps []string
	if !have("127.0.0.1/8") {
		steps = append(steps, "link set lo up")
	}
	for _, s := range []string{"mgmt", "isp", "xover"} {
		if !have(" " + s + ": ") {
			steps = append(steps, "link add name "+s+" type bridge", "link set dev "+s+" up")
		}
	}
	for _, a := range [][2]string{{mgmtAddr, "mgmt"}, {InternetAddr, "isp"}} {
		if !have(" " + a[0] + "/24 ") {
			steps = append(steps, "addr add "+a[0]+"/24 dev "+a[1])
		}
	}
	for i, s := range nics() {
		if tap := m.tap(i); !have(" " + tap + ": ") {
			steps = append(steps, "tuntap add name "+tap+" mode tap", "link set dev "+tap+" master "+s+" up")
		}
	}
	for _, s := range steps {
		if err := ip(strings.Fields(s)...); err != nil {
			return err
		}
	}
	// Acknowledgements of guests may come with a private address.
	return n.Do(func() error {
		for _, link := range []string{"all", "isp"} {
			if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+link+"/rp_filter", []byte("0"), 0); err != nil {
				return err
			}
		}
		return nil
	})
}

func (n *Internet) remove(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join("/run/netns", Namespace)); err != nil {
		return nil
	}
	return n.lab.tool(ctx, "ip", "netns", "delete", Namespace)
}
