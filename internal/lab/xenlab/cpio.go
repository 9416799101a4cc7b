package xenlab

import (
	"bytes"
	"fmt"
)

// cpioEntry is a file, folder or link of a guest's ramdisk.
type cpioEntry struct {
	name string
	mode uint32 // type and permissions as in stat(2)
	data []byte // of a link: where it points to
}

const (
	cpioDir  = 0o040755
	cpioFile = 0o100644
	cpioProg = 0o100755
	cpioLink = 0o120777
)

// cpio packs entries in the "newc" format, which Linux unpacks as its first
// file system.
func cpio(entries []cpioEntry) []byte {
	var b bytes.Buffer
	pad := func() {
		for b.Len()%4 != 0 {
			b.WriteByte(0)
		}
	}
	put := func(inode int, e cpioEntry) {
		fmt.Fprintf(&b, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
			inode, e.mode, 0, 0, 1, 0, len(e.data), 0, 0, 0, 0, len(e.name)+1, 0)
		b.WriteString(e.name)
		b.WriteByte(0)
		pad()
		b.Write(e.data)
		pad()
	}
	for i, e := range entries {
		put(i+1, e)
	}
	put(0, cpioEntry{name: "TRAILER!!!"})
	return b.Bytes()
}
