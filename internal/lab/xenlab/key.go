package xenlab

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// key returns the lab's ssh key, private part and public part, made once.
func (l *Lab) key(ctx context.Context) ([]byte, error) {
	name := l.keyFile()
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		made := name + ".unfinished"
		_ = os.Remove(made)
		if err := l.tool(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", made); err != nil {
			return nil, err
		}
		if err := os.Rename(made+".pub", name+".pub"); err != nil {
			return nil, err
		}
		if err := os.Rename(made, name); err != nil {
			return nil, err
		}
	}
	private, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	public, err := os.ReadFile(name + ".pub")
	return append(append(private, 0), public...), err
}

func (l *Lab) keyFile() string { return filepath.Join(l.dir, "id") }

func privatePart(key []byte) []byte { return key[:bytes.IndexByte(key, 0)] }
func publicPart(key []byte) []byte  { return key[bytes.IndexByte(key, 0)+1:] }
