package layout

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"strings"
)

// MaxLines is how long a file may be. One idea fits in less.
const MaxLines = 300

// Source checks one Go file: its length, and that it has neither init functions
// nor package-level variables, which are state that a caller can not see. name
// is its path in the repository.
func Source(name string, text []byte) ([]string, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	if ast.IsGenerated(file) {
		return nil, nil
	}
	var breaches []string
	say := func(at token.Pos, format string, args ...any) {
		where := set.Position(at)
		breaches = append(breaches, fmt.Sprintf("%s:%d: ", name, where.Line)+fmt.Sprintf(format, args...))
	}
	if n := strings.Count(string(text), "\n"); n > MaxLines {
		breaches = append(breaches, fmt.Sprintf("%s has %d lines: split it by ideas, %d at most", name, n, MaxLines))
	}
	inTest := strings.HasSuffix(name, "_test.go")
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name == "init" {
				say(d.Pos(), "func init: let the caller construct what it needs")
			}
		case *ast.GenDecl:
			if d.Tok != token.VAR || inTest {
				continue
			}
			for _, spec := range d.Specs {
				v := spec.(*ast.ValueSpec)
				if !constant(d, v) {
					say(v.Pos(), "var %s: no package-level state; make it a const, a function or a field", v.Names[0])
				}
			}
		}
	}
	return breaches, nil
}

// constant reports whether a variable is one only for the language: an error
// word (also one passed on from below), a regular expression, a checksum's table,
// an embedded file, an interface assertion.
func constant(d *ast.GenDecl, v *ast.ValueSpec) bool {
	if embedded(d.Doc) || embedded(v.Doc) {
		return true
	}
	if len(v.Values) != len(v.Names) {
		return false
	}
	for i, name := range v.Names {
		if name.Name == "_" {
			continue
		}
		if passedOn(name.Name, v.Values[i]) {
			continue
		}
		switch called(v.Values[i]) {
		case "errors.New", "regexp.MustCompile", "crc32.MakeTable":
		default:
			return false
		}
	}
	return true
}

// passedOn reports whether a line reads ErrX = pkg.ErrX.
func passedOn(name string, value ast.Expr) bool {
	from, ok := value.(*ast.SelectorExpr)
	return ok && strings.HasPrefix(name, "Err") && from.Sel.Name == name
}

func embedded(doc *ast.CommentGroup) bool {
	if doc == nil {
		return false
	}
	for _, c := range doc.List {
		if strings.HasPrefix(c.Text, "//go:embed ") {
			return true
		}
	}
	return false
}

// called returns pkg.Func if e calls one, else "".
func called(e ast.Expr) string {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return ""
	}
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	pkg, ok := f.X.(*ast.Ident)
	if !ok {
		return ""
	}
	return pkg.Name + "." + f.Sel.Name
}

// TopLevel checks the names in the root of the repository; those that begin
// with a dot are free.
func TopLevel(names []string) (breaches []string) {
	const allowed = " xen lvm network shaping migrate accounting examples internal" +
		" go.mod go.sum doc.go README.md LICENSE CHANGELOG.md CONTRIBUTING.md "
	for _, name := range names {
		if !strings.HasPrefix(name, ".") && !strings.Contains(allowed, " "+path.Base(name)+" ") {
			breaches = append(breaches, name+" stands in the root: find it a room")
		}
	}
	return breaches
}
