// Vifhook is Xen's script for vifs of guests that are under the guard: it
// hands over to Xen's own vif-bridge, which puts the vif on its bridge, only
// when the guard has the port. Else the domain does not start.
//
//	install -m 755 vifhook /etc/xen/scripts/vif-xenhost
//	echo 'vif.default.script="vif-xenhost"' >> /etc/xen/xl.conf
//
// Under a second name it is the script of routed vifs, which it makes the link
// of the guest that has it: named, with its routes, and its addresses answered
// for. A vif that no guest of this host has stays down and leads nowhere until
// somebody sets that guest, as a move does when the guest is this host's.
//
//	ln -s vif-xenhost /etc/xen/scripts/vif-xenhost-routed
//
// Vifs whose names do not look like ours, of domains that something else made,
// are handed over as they are.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/guard"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
)

// bridgeScript is Xen's own.
const bridgeScript = "/etc/xen/scripts/vif-bridge"

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 35*time.Second) // libxl waits 40 s
	defer cancel()
	h := hook{run: dom0.Local{}, guard: guard.New(nil), network: network.New(nil), path: os.Getenv("XENBUS_PATH"), device: os.Getenv("vif")}
	call := h.call
	if filepath.Base(os.Args[0]) == xen.RoutedScript {
		call = h.route
	}
	if err := call(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "vifhook:", err)
		os.Exit(1)
	}
}

type hook struct {
	run     dom0.Runner
	guard   guard.Manager
	network network.Manager
	path    string // of the backend in xenstore: backend/vif/7/0
	device  string // the vif as the kernel named it: vif7.0
}

// call is one call of the script: "online type_if=vif" when a domain starts,
// "add type_if=tap" for the device model's port, "offline" and "remove" at the
// end. Environment and arguments go on to vif-bridge unchanged.
func (h hook) call(ctx context.Context, args []string) error {
	if slices.Contains(args, "online") || slices.Contains(args, "add") {
		if err := h.guarded(ctx); err != nil {
			h.tell(ctx, err)
			return err
		}
	}
	return h.run.Run(ctx, dom0.Cmd{Args: append([]string{bridgeScript}, args...), Stdout: os.Stdout, Stderr: os.Stderr})
}

// guarded says why the vif may not go on its bridge.
func (h hook) guarded(ctx context.Context) error {
	if h.path == "" {
		return fmt.Errorf("XENBUS_PATH is not set: this is called by xl")
	}
	vif := h.name(ctx)
	if !guard.Ours(vif) {
		return nil // a vif without a name, or with one of somebody else's
	}
	state, err := h.guard.Read(ctx)
	if err != nil {
		return err
	}
	for _, g := range state.Guests {
		if slices.ContainsFunc(g.Ports, func(p guard.Port) bool { return p.Vif == vif }) {
			return nil
		}
	}
	if state.Open {
		return fmt.Errorf("vif %s: no guard is in force: run agent boot", vif)
	}
	return fmt.Errorf("vif %s is of no guest under the guard: start it through its host's Start", vif)
}

// name is the one that the vif is to have; empty if it has none.
func (h hook) name(ctx context.Context) string {
	out, err := dom0.Output(ctx, h.run, "xenstore-read", h.path+"/vifname")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// tell lets xl print why, as Xen's own scripts do. What it can not tell is on
// stderr anyway.
func (h hook) tell(ctx context.Context, why error) {
	_ = h.run.Run(ctx, dom0.Cmd{Args: []string{
		"xenstore-write", h.path + "/hotplug-error", why.Error(), h.path + "/hotplug-status", "error",
	}})
}
