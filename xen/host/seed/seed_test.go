package seed_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host/seed"
)

func web1() seed.Seed {
	return seed.Seed{
		Hostname: "web1.example.org", Keys: []string{"ssh-ed25519 AAAAC3Nza anna@example.org"},
		Nics: []seed.Nic{
			{
				MAC: xen.MAC{0, 0x16, 0x3e, 0, 0, 1}, Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.0.10/24"), netip.MustParsePrefix("2001:db8::10/64")},
				Gateways: []netip.Addr{netip.MustParseAddr("192.168.0.1"), netip.MustParseAddr("fe80::1")}, DNS: []netip.Addr{netip.MustParseAddr("192.0.2.53")},
			},
			{MAC: xen.MAC{0, 0x16, 0x3e, 0, 0, 2}, Addresses: []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32")}, Gateways: []netip.Addr{netip.MustParseAddr("10.0.0.1")}},
		},
	}
}

// mounted reads an ISO back, as the guest's kernel does by its Rock Ridge names.
func mounted(t *testing.T, iso []byte) (label string, files map[string]string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "seed.iso")
	require.NoError(t, os.WriteFile(path, iso, 0o600))
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	read, err := iso9660.Read(file.New(f, true), int64(len(iso)), 0, 0)
	require.NoError(t, err)
	files = make(map[string]string)
	require.NoError(t, fs.WalkDir(read, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := read.Open(path)
		if err != nil {
			return err
		}
		content, err := io.ReadAll(f)
		files[path] = string(content)
		return err
	}))
	return strings.TrimRight(read.Label(), " \x00"), files
}

func TestISO(t *testing.T) {
	iso, err := web1().ISO("7f3a0c1e-0000-4000-8000-000000000001")
	require.NoError(t, err)
	assert.Less(t, len(iso), 1<<20)
	label, files := mounted(t, iso)
	assert.Equal(t, "cidata", label)
	require.Len(t, files, 3)
	assert.Equal(t, "#cloud-config\n"+`{"fqdn":"web1.example.org","hostname":"web1.example.org","manage_etc_hosts":true,"ssh_authorized_keys":["ssh-ed25519 AAAAC3Nza anna@example.org"],"ssh_pwauth":false}`+"\n", files["user-data"])
	assert.Equal(t, `{"instance-id":"7f3a0c1e-0000-4000-8000-000000000001","local-hostname":"web1.example.org"}`+"\n", files["meta-data"])
	assert.JSONEq(t, `{"version":2,"ethernets":{
		"nic0":{"match":{"macaddress":"00:16:3e:00:00:01"},"addresses":["192.168.0.10/24","2001:db8::10/64"],"nameservers":{"addresses":["192.0.2.53"]},
			"routes":[{"to":"0.0.0.0/0","via":"192.168.0.1"},{"to":"::/0","via":"fe80::1","on-link":true}]},
		"nic1":{"match":{"macaddress":"00:16:3e:00:00:02"},"addresses":["203.0.113.7/32"],"routes":[{"to":"0.0.0.0/0","via":"10.0.0.1","on-link":true}]}}}`, files["network-config"])

	d := seed.Disk("xvdb", lvm.ID{Group: "guests", Name: "web1"}, iso)
	assert.Equal(t, "guests/web1-seed", d.Volume.String())
	assert.EqualValues(t, len(iso), d.Size)
}

// The label is what cloud-init asks blkid for, and the names are what any reader
// of ISO images sees.
func TestOthersReadIt(t *testing.T) {
	if _, err := exec.LookPath("blkid"); err != nil {
		t.Skip("no blkid")
	}
	iso, err := web1().ISO("i-1")
	require.NoError(t, err)
	// A volume is longer than the image.
	path := filepath.Join(t.TempDir(), "volume")
	require.NoError(t, os.WriteFile(path, append(iso, make([]byte, 4<<20-len(iso))...), 0o600))
	out, err := exec.CommandContext(t.Context(), "blkid", "-p", "-o", "export", path).CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Contains(t, string(out), "LABEL=cidata\n")
	assert.Contains(t, string(out), "TYPE=iso9660\n")
}

func TestUserDataIsPassedOn(t *testing.T) {
	s := web1()
	s.UserData = []byte("#!/bin/sh\necho \x00 $(reboot)\n")
	s.Nics = nil
	iso, err := s.ISO("i-1")
	require.NoError(t, err)
	_, files := mounted(t, iso)
	assert.Equal(t, string(s.UserData), files["user-data"])
	assert.NotContains(t, files, "network-config")
}

// What a customer writes stays a value.
func TestHostile(t *testing.T) {
	for _, bad := range []string{"", "-web", "web\nruncmd: [reboot]", "web: x", "../x", "web_1", strings.Repeat("a", 254)} {
		s := web1()
		s.Hostname = bad
		_, err := s.ISO("i-1")
		require.ErrorIs(t, err, seed.ErrInvalid, "%q", bad)
	}
	for _, bad := range []string{"", " ", "ssh-rsa A\nruncmd: [reboot]", "ssh-rsa A\x00", strings.Repeat("k", 17<<10)} {
		s := web1()
		s.Keys = []string{bad}
		_, err := s.ISO("i-1")
		require.ErrorIs(t, err, seed.ErrInvalid, "%q", bad)
	}
	comment := "ssh-rsa AAAA \"quoted\" #{{jinja}} \u2028 \u0085 <&> 漢字 😀"
	s := web1()
	s.Keys = []string{comment}
	iso, err := s.ISO(`i"-1`)
	require.NoError(t, err)
	_, files := mounted(t, iso)
	body, ok := strings.CutPrefix(files["user-data"], "#cloud-config\n")
	require.True(t, ok)
	assert.False(t, bytes.ContainsFunc([]byte(body[:len(body)-1]), func(r rune) bool { return r < ' ' || r > '~' }), "one line of plain letters")
	var config struct {
		Keys []string `json:"ssh_authorized_keys"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &config))
	assert.Equal(t, []string{comment}, config.Keys)
	two := web1()
	two.Nics[0].Gateways = append(two.Nics[0].Gateways, netip.MustParseAddr("192.168.0.2"))
	require.ErrorIs(t, two.Validate(), seed.ErrInvalid)
	big := web1()
	big.UserData = make([]byte, seed.MaxUserData+1)
	require.ErrorIs(t, big.Validate(), seed.ErrInvalid)
}

func ExampleSeed_ISO() {
	s := seed.Seed{Hostname: "web1", Keys: []string{"ssh-ed25519 AAAAC3Nza anna"}}
	iso, err := s.ISO("7f3a0c1e-0000-4000-8000-000000000001")
	if err != nil {
		fmt.Println(err)
		return
	}
	d := seed.Disk("xvdb", lvm.ID{Group: "guests", Name: "web1"}, iso)
	fmt.Println(d.Dev, d.Volume, d.Size < 1<<20)
	// Output: xvdb guests/web1-seed true
}
