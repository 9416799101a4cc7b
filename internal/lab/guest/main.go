// Command guest is the only program of a lab guest: its init. It brings up the
// disk and the network, then does what a test can observe from outside:
//
//	/dev/xvda   a chain of records (package record), each acknowledged by UDP once it is durable
//	TCP 80      GET / says "hello from NAME", GET /state is JSON
//	TCP 7       echo
//	memory      dirtied at a chosen rate
//
// Kernel arguments:
//
//	g.ip=192.168.0.10/24 g.gw=192.168.0.1   address of eth0 and default gateway
//	g.name=web                              its name in answers and acknowledgements
//	g.ack=203.0.113.254:9000                where to acknowledge; none: no acknowledgements
//	g.rate=10                               records a second
//	g.dirty=1048576                         bytes of memory a second to dirty
//
// A blank disk is formatted; one that holds something else is left alone.
// The kernel runs the same program as /sbin/poweroff and /sbin/reboot when the
// toolstack asks for it.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	switch filepath.Base(os.Args[0]) {
	case "poweroff":
		end(unix.LINUX_REBOOT_CMD_POWER_OFF)
	case "reboot":
		end(unix.LINUX_REBOOT_CMD_RESTART)
	}
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "guest: this is the init of a lab guest")
		os.Exit(2)
	}
	if err := run(); err != nil {
		say("failed: %v", err)
	}
	select {} // init never ends
}

// end makes the disk durable and leaves the domain.
func end(cmd int) {
	unix.Sync()
	if err := unix.Reboot(cmd); err != nil {
		say("reboot: %v", err)
	}
	os.Exit(1)
}

func run() error {
	started := time.Now()
	mountAll()
	loadModules("/mods")
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	args, err := parseArgs(string(line))
	if err != nil {
		return err
	}
	if err := bringUp(args); err != nil {
		say("network: %v", err)
	}
	s := &state{Name: args.name, started: started}
	go serveHTTP(s)
	go serveEcho()
	if args.dirty > 0 {
		go dirty(args.dirty)
	}
	say("%s up", args.name)
	if err := keepRecords(args, s); err != nil {
		s.fail(err)
		return err
	}
	return nil
}

// say prints a line on the console of the domain.
func say(format string, args ...any) { fmt.Printf("GUEST: "+format+"\n", args...) }
