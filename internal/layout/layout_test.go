package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = "../.."

// listed is what go list prints of a package.
type listed struct {
	ImportPath string
	Dir        string

	GoFiles, CgoFiles, IgnoredGoFiles, TestGoFiles, XTestGoFiles []string
	Imports, TestImports, XTestImports                           []string
}

func (l listed) pkg() Package {
	name, _ := inHouse(l.ImportPath)
	return Package{Path: name, Imports: l.Imports, TestImports: slices.Concat(l.TestImports, l.XTestImports)}
}

func (l listed) files() []string {
	return slices.Concat(l.GoFiles, l.CgoFiles, l.IgnoredGoFiles, l.TestGoFiles, l.XTestGoFiles)
}

func list(t *testing.T) []listed {
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,GoFiles,CgoFiles,IgnoredGoFiles,TestGoFiles,XTestGoFiles,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = root
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		err := d.Decode(&l)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		all = append(all, l)
	}
	require.True(t, slices.ContainsFunc(all, func(l listed) bool { return l.pkg().Path == "internal/layout" }), "go list sees this package")
	return all
}

func TestHouse(t *testing.T) {
	var breaches []string
	for _, l := range list(t) {
		p := l.pkg()
		breaches = slices.Concat(breaches, Layers(p), Corners(p), Exec(p))
		for _, file := range l.files() {
			text, err := os.ReadFile(filepath.Join(l.Dir, file))
			require.NoError(t, err)
			found, err := Source(path.Join(p.Path, file), text)
			require.NoError(t, err)
			breaches = append(breaches, found...)
		}
	}
	if len(breaches) > 0 {
		t.Errorf("the house is not in order:\n%s", strings.Join(breaches, "\n"))
	}
}

func TestRoot(t *testing.T) {
	entries, err := os.ReadDir(root)
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	require.Contains(t, names, "go.mod")
	assert.Empty(t, TopLevel(names))
}
