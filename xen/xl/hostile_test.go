package xl

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/internal/hostiletest"
	"github.com/xenhost/xenhost/xen/xentest"
	"github.com/xenhost/xenhost/xen/xlcfg"
)

// harmless is all that an argument of a command may look like here: words and
// numbers of ours, and the forms that are checked before.
var harmless = regexp.MustCompile(`^(xl|pgrep|xenstore-read|/proc/self/fd/[01]|-[a-z]|[a-z][a-z0-9-]{0,62}|\d+m?|all|hd[a-d]|xvd[a-p]` +
	`|CONFIG|flock|/[a-zA-Z0-9/_.-]+/[0-9a-f-]{36}\.lock|xl-[0-9a-f-]{36}-|/local/domain/7/[a-z0-9/-]+` +
	`|format=raw,vdev=xvd[a-p],access=r[ow],backendtype=phy,target=/dev/[A-Za-z0-9_+./:-]+` +
	`|mac=[0-9a-f:]{17}|[0-9a-f:]{17}|bridge=[A-Za-z0-9_.][A-Za-z0-9_.-]{0,14}|vifname=[A-Za-z0-9_.][A-Za-z0-9_.-]{0,14}` +
	`|/dev/[A-Za-z0-9_+./:-]+|/[A-Za-z0-9_+./:-]+\.iso)$`)

// watcher is a host on which every command is looked at.
type watcher struct {
	t    *testing.T
	what string // the case
	host *host
	cfgs int
	args int
}

func (w *watcher) Run(ctx context.Context, cmd dom0.Cmd) error {
	for _, arg := range cmd.Args {
		if strings.HasSuffix(arg, ".cfg") {
			w.config(arg)
			arg = "CONFIG"
		}
		w.args++
		if !harmless.MatchString(arg) || strings.Contains(arg+"/", "/../") {
			require.Failf(w.t, "not harmless", "%q in %q: %s", arg, cmd.Args, w.what)
		}
	}
	return w.host.Run(ctx, cmd)
}

// config checks that a file says no more than a Spec does.
func (w *watcher) config(file string) {
	w.cfgs++
	text, err := os.ReadFile(file)
	require.NoError(w.t, err)
	config, err := xlcfg.Parse(file, string(text))
	require.NoError(w.t, err, "%s\n%s", w.what, text)
	require.Len(w.t, config, len(config.Keys()), "%s: a key is there twice\n%s", w.what, text)
	spec, unknown, err := config.Spec()
	require.NoError(w.t, err, "%s\n%s", w.what, text)
	require.Empty(w.t, unknown, "%s\n%s", w.what, text)
	require.NoError(w.t, spec.Validate(), "%s\n%s", w.what, text)
}

// TestNoHostileStringReachesXl calls every exported method of Driver with every
// hostile string in every place where its parameters hold a string, found by
// reflection: a new method, or a new field, can not be forgotten.
func TestNoHostileStringReachesXl(t *testing.T) {
	hostile := xentest.HostileStrings()
	require.GreaterOrEqual(t, len(hostile), 300)
	driver := reflect.TypeFor[*Driver]()
	run := t.TempDir()
	places, calls, configs, args := 0, 0, 0, 0
	for m := range driver.NumMethod() {
		method := driver.Method(m)
		good := hostiletest.Good{ID: known, Spec: hostileBase, Disk: data, Vif: more}
		for place := range hostiletest.Texts(hostiletest.Parameters(t, method, good)) {
			places++
			for _, text := range hostile {
				w := watch(t, method.Name)
				in := hostiletest.Parameters(t, method, good)
				hostiletest.Texts(in)[place].SetString(text)
				w.what = fmt.Sprintf("%s, place %d, %q", method.Name, place, text)
				d := New(w, &Options{TempDir: os.TempDir(), RunDir: run, Poll: time.Millisecond, Limits: Limits{Resize: time.Millisecond, Query: time.Second}})
				in[0] = reflect.ValueOf(d)
				method.Func.Call(in)
				calls, configs, args = calls+1, configs+w.cfgs, args+w.args
			}
		}
	}
	t.Logf("%d strings in %d places of %d methods: %d calls, %d arguments and %d configurations looked at", len(hostile), places, driver.NumMethod(), calls, args, configs)
	assert.GreaterOrEqual(t, places, 60)
	assert.Greater(t, configs, 500, "some strings are fine")
}

// watch makes a host with web1, an HVM domain, on which whatever is started
// appears.
func watch(t *testing.T, method string) *watcher {
	h, id := one(t)
	h.domains[0].uuid = known
	for command, text := range h.shows {
		text = strings.ReplaceAll(text, id.String(), known.String())
		if method == "Insert" || method == "Eject" {
			text = strings.NewReplacer(`"pvh"`, `"hvm"`, `"disks":[`, `"disks":[{"pdev_path":"/srv/old.iso","vdev":"hdc","is_cdrom":1},`).Replace(text)
		}
		h.shows[command] = text
	}
	h.do = func(_ context.Context, cmd dom0.Cmd, argv string) error {
		if strings.HasPrefix(argv, "xl create") || strings.HasPrefix(argv, "xl restore") {
			h.domains = append(h.domains, line{"web2", 8, "-b----", "-", fresh})
		}
		if strings.HasPrefix(argv, "xl destroy 8") {
			h.remove(8)
		}
		if strings.HasPrefix(argv, "xl destroy 7") {
			h.remove(7)
		}
		return nil
	}
	return &watcher{t: t, host: h}
}

var (
	known = uuid.MustParse("00000000-0000-4000-8000-000000000007")
	fresh = uuid.MustParse("00000000-0000-4000-8000-000000000008")
)

// hostileBase has a string in every field.
func hostileBase(method string) xen.Spec {
	s := spec()
	s.Name, s.UUID = "web2", fresh
	if method == "UpdateConfig" {
		s.Name, s.UUID = "web1", known
	}
	s.Ramdisk, s.Cmdline, s.TSCMode, s.OnReboot, s.OnCrash = "/boot/initrd", "ro", "native", "restart", "destroy"
	s.Vifs = []xen.Vif{more}
	s.CPUID = []string{"0x1:ecx=" + strings.Repeat("x", 32)}
	return s
}
