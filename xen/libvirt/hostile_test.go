package libvirt

import (
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	rpc "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirtxml"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/hostiletest"
	"github.com/xenhost/xenhost/xen/xentest"
)

// postman looks at every XML that the driver sends.
type postman struct {
	t    *testing.T
	what string
	text string // the hostile one
	xmls int
	mu   sync.Mutex
	bag  []string // documents that nobody has looked at
}

func (p *postman) take(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bag = append(p.bag, text)
}

func (p *postman) lookAtAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, text := range p.bag {
		p.look(text)
	}
	p.bag = nil
}

// look checks that a document says what our own types say and nothing more: read
// and written again it is the same, and no word of it runs or opens anything.
func (p *postman) look(text string) {
	p.xmls++
	dec := xml.NewDecoder(strings.NewReader(text))
	root := ""
	for {
		token, err := dec.Token()
		if err == io.EOF {
			break
		}
		require.NoError(p.t, err, "%s\n%s", p.what, text)
		switch x := token.(type) {
		case xml.StartElement:
			if root == "" {
				root = x.Name.Local
			}
		case xml.Comment, xml.ProcInst, xml.Directive:
			require.Failf(p.t, "not ours", "%s\n%s", p.what, text)
		}
	}
	var doc interface {
		Unmarshal(string) error
		Marshal() (string, error)
	}
	switch root {
	case "domain":
		doc = &libvirtxml.Domain{}
	case "disk":
		doc = &libvirtxml.DomainDisk{}
	case "interface":
		doc = &libvirtxml.DomainInterface{}
	default:
		require.Failf(p.t, "no document of ours", "%s\n%s", p.what, text)
	}
	require.NoError(p.t, doc.Unmarshal(text), p.what)
	again, err := doc.Marshal()
	require.NoError(p.t, err, p.what)
	require.Equal(p.t, text, again, p.what)
	require.NotRegexp(p.t, regexp.MustCompile(`<(script|emulator|loader|bootloader|qemu|hostdev|filesystem|commandline|seclabel)\b`), text, p.what)
}

// TestNoHostileStringReachesLibvirt calls every exported method of Driver with
// every hostile string in every place where its parameters hold a string: what
// reaches libvirtd is XML that says what a Spec can and no more, or a name that
// is one.
func TestNoHostileStringReachesLibvirt(t *testing.T) {
	hostile := xentest.HostileStrings()
	require.GreaterOrEqual(t, len(hostile), 300)
	p := &postman{t: t}
	x := startDom0(t)
	x.attaches = func(*dom0Host) *rpc.Error { return nil }
	x.restores = func(_ *dom0Host, path string) *rpc.Error {
		image, err := os.ReadFile(path)
		if assert.NoError(t, err) && len(image) > 64 {
			text, _, _ := bytes.Cut(image[64:], []byte{0})
			p.take(string(text))
		}
		return fault
	}
	known := x.spec
	base := x.answer
	x.answer = func(proc uint32, args []byte) (xdr, *rpc.Error, bool) {
		switch proc {
		case procCreateXML:
			p.take(field(args))
			return nil, fault, true
		case procAttach, procDetach, procUpdate:
			p.take(field(args[4+(len(field(args))+3)/4*4+16+4:])) // behind the domain
			return nil, fault, true
		case procRename:
			assert.True(t, xen.ValidName(p.text), p.what)
		}
		return base(proc, args)
	}
	image := t.TempDir() + "/a.iso"
	require.NoError(t, os.WriteFile(image, nil, 0o600))
	good := hostiletest.Good{
		ID: known.UUID, Disk: moreDisk(t), Vif: xen.Vif{Name: "x.1", Bridge: "xenint", MAC: xen.MAC{0, 0x16, 0x3e, 0, 0, 9}},
		Spec: func(method string) xen.Spec {
			s := fullSpec(xen.PV)
			s.Name, s.UUID, s.Kernel, s.Disks = "web2", uuid.New(), known.Kernel, known.Clone().Disks
			if method == "UpdateConfig" {
				s.Name, s.UUID = known.Name, known.UUID
			}
			s.CPUID = nil
			return s
		},
	}
	driver := reflect.TypeFor[*Driver]()
	places, calls := 0, 0
	for m := range driver.NumMethod() {
		method := driver.Method(m)
		if method.Name == "Close" {
			continue
		}
		d := x.driver(t, Limits{Resize: time.Millisecond, Destroy: time.Second, Create: time.Second, Query: 5 * time.Second})
		for place := range hostiletest.Texts(hostiletest.Parameters(t, method, good)) {
			places++
			for _, text := range hostile {
				p.text, p.what = text, fmt.Sprintf("%s, place %d, %q", method.Name, place, text)
				x.restart()
				in := hostiletest.Parameters(t, method, good)
				hostiletest.Texts(in)[place].SetString(text)
				in[0] = reflect.ValueOf(d)
				method.Func.Call(in)
				calls++
				p.lookAtAll()
			}
		}
	}
	t.Logf("%d strings in %d places of %d methods: %d calls, %d documents looked at", len(hostile), places, driver.NumMethod(), calls, p.xmls)
	assert.GreaterOrEqual(t, places, 50)
	assert.Greater(t, p.xmls, 300, "some strings are fine")
	for _, said := range x.did() {
		assert.Regexp(t, `^(begin|perform|confirm [01]|attach|detach|restore|xl block-detach (-f )?2 xvd[a-p])$`, said)
	}
}

// field reads the string at the beginning of arguments.
func field(args []byte) string {
	n := binary.BigEndian.Uint32(args)
	return string(args[4 : 4+n])
}
