package main

import (
	"net"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bringUp gives eth0 its address and the default route, by the ioctls that
// need no other program.
func bringUp(a arguments) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(s)
	if err := linkUp(s, "lo"); err != nil || !a.ip.IsValid() {
		return err
	}
	await("/sys/class/net/eth0", 10*time.Second)
	for _, set := range []struct {
		request uint
		addr    netip.Addr
	}{{unix.SIOCSIFADDR, a.ip.Addr()}, {unix.SIOCSIFNETMASK, mask(a.ip.Bits())}} {
		ifr, err := unix.NewIfreq("eth0")
		if err != nil {
			return err
		}
		ip := set.addr.As4()
		if err := ifr.SetInet4Addr(ip[:]); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(s, set.request, ifr); err != nil {
			return os.NewSyscallError("address of eth0", err)
		}
	}
	if err := linkUp(s, "eth0"); err != nil || !a.gw.IsValid() {
		return err
	}
	if !a.ip.Contains(a.gw) { // as of a routed guest
		if err := route(s, a.gw, netip.Addr{}); err != nil {
			return err
		}
	}
	return route(s, netip.IPv4Unspecified(), a.gw)
}

func linkUp(s int, name string) error {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return os.NewSyscallError("up "+name, unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr))
}

// rtentry is struct rtentry of linux/route.h.
type rtentry struct {
	_                  uint64
	dst, gateway, mask unix.RawSockaddrInet4
	flags              uint16
	_                  int16
	_                  uint64
	_                  uintptr
	metric             int16
	dev                *byte
	mtu, window        uint64
	irtt               uint16
}

// route leads everywhere by way of a gateway, or to a host that is on eth0.
func route(s int, to, gw netip.Addr) error {
	any4 := unix.RawSockaddrInet4{Family: unix.AF_INET}
	r := rtentry{dst: any4, gateway: any4, mask: any4, flags: unix.RTF_UP}
	r.dst.Addr = to.As4()
	if gw.IsValid() {
		r.flags |= unix.RTF_GATEWAY
		r.gateway.Addr = gw.As4()
	} else {
		r.flags |= unix.RTF_HOST
		r.dev = &[]byte("eth0\x00")[0]
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s), unix.SIOCADDRT, uintptr(unsafe.Pointer(&r))); errno != 0 {
		return os.NewSyscallError("route to "+to.String(), errno)
	}
	return nil
}

func mask(bits int) netip.Addr {
	return netip.AddrFrom4([4]byte(net.CIDRMask(bits, 32)))
}

// await waits until a device file is there; false: it did not come.
func await(path string, limit time.Duration) bool {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return true
		}
	}
	return false
}
