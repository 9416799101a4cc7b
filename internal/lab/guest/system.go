package main

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

func mountAll() {
	for _, m := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}} {
		if err := unix.Mount(m[0], m[1], m[0], 0, ""); err != nil {
			say("mount %s: %v", m[1], err)
		}
	}
}

// loadModules loads what dir holds, in the order of the names.
func loadModules(dir string) {
	files, _ := filepath.Glob(dir + "/*.ko*")
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			say("module %s: %v", name, err)
			continue
		}
		flags := 0
		if !strings.HasSuffix(name, ".ko") {
			flags = unix.MODULE_INIT_COMPRESSED_FILE
		}
		if err := unix.FinitModule(int(f.Fd()), "", flags); err != nil {
			say("module %s: %v", name, err)
		}
		f.Close()
	}
}
