package libvirt

import "github.com/xenhost/xenhost/xen"

// RenderFor is render for the host with these capabilities.
func RenderFor(spec xen.Spec, capabilities string) (string, error) {
	p, err := parsePlatform(capabilities)
	if err != nil {
		return "", err
	}
	return render(spec, p)
}
