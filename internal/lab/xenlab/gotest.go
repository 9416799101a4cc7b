package xenlab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/xen/dom0"
)

// TestOptions of a package's tests in a dom0; nil is the zero value.
type TestOptions struct {
	Run     string        // only tests that match, as go test -run has it
	Env     []string      // added, as "KEY=value"
	Timeout time.Duration // of the test binary; 0 is 15 minutes
	Args    []string      // more flags of the test binary, as -test.short
}

// TestResult counts tests without subtests.
type TestResult struct {
	Passed, Failed int
	// Skipped tells which were skipped although they were demanded, and why. A
	// test of a tier that is not demanded does not count.
	Skipped []string
}

// GoTest compiles the tests of a package of this module, copies them and
// their testdata in to the host's dom0, runs them there with tier dom0
// demanded, and copies what they print to out as it comes.
//
// It returns an error unless at least one test ran, and all passed, and none
// that was demanded was skipped.
func (h *Host) GoTest(ctx context.Context, pkg string, o *TestOptions, out io.Writer) (TestResult, error) {
	if o == nil {
		o = &TestOptions{}
	}
	fail := func(err error) error { return fmt.Errorf("lab: test %s on %s: %w", pkg, h.machine.Name, err) }
	there, err := h.putTests(ctx, pkg)
	if err != nil {
		return TestResult{}, fail(err)
	}
	timeout := o.Timeout
	if timeout == 0 {
		timeout = 15 * time.Minute
	}
	argv := []string{"env", "-C", there, "./tests", "-test.v", "-test.timeout=" + timeout.String()}
	if o.Run != "" {
		argv = append(argv, "-test.run="+o.Run)
	}
	var reader reportReader
	err = h.Runner().Run(ctx, dom0.Cmd{
		Args:   append(argv, o.Args...),
		Env:    append([]string{tier.Env + "=" + string(tier.Dom0), "HOME=/root"}, o.Env...),
		Stdout: io.MultiWriter(out, &reader),
		Stderr: out,
	})
	result := reader.result()
	if err == nil {
		err = result.verdict()
	}
	if err != nil {
		return result, fail(err)
	}
	return result, nil
}

// verdict says why tests that ended without an error are no proof.
func (r TestResult) verdict() error {
	switch {
	case r.Failed > 0:
		return fmt.Errorf("%d tests failed", r.Failed)
	case len(r.Skipped) > 0:
		return fmt.Errorf("skipped: %s", strings.Join(r.Skipped, "; "))
	case r.Passed == 0:
		return errors.New("no test ran")
	}
	return nil
}

// putTests compiles and copies; it returns the folder in dom0.
func (h *Host) putTests(ctx context.Context, pkg string) (string, error) {
	about, err := h.lab.toolOutput(ctx, "go", "list", "-json=Dir,ImportPath", pkg)
	if err != nil {
		return "", err
	}
	var p struct{ Dir, ImportPath string }
	if err := json.NewDecoder(bytes.NewReader(about)).Decode(&p); err != nil {
		return "", fmt.Errorf("go list: %w", err)
	}
	tmp, err := os.MkdirTemp("", "lab-test-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	binary := filepath.Join(tmp, "tests")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-ldflags=-s -w", "-o", binary, p.ImportPath)
	build.Dir = p.Dir
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if said, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go test -c: %w\n%s", err, said)
	}
	if _, err := os.Stat(binary); err != nil {
		return "", fmt.Errorf("it has no tests")
	}
	there := path.Join("/var/tmp/lab", p.ImportPath)
	if _, err := h.Run(ctx, "rm", "-rf", "--", there); err != nil {
		return "", err
	}
	if err := h.Put(ctx, binary, path.Join(there, "tests")); err != nil {
		return "", err
	}
	testdata := filepath.Join(p.Dir, "testdata")
	if _, err := os.Stat(testdata); err != nil {
		return there, nil
	}
	return there, h.Put(ctx, testdata, path.Join(there, "testdata"))
}

// A reportReader reads what a test binary prints with -test.v.
type reportReader struct {
	line   []byte
	reason string // the last line that was not a report
	r      TestResult
}

func (p *reportReader) Write(b []byte) (int, error) {
	n := len(b)
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			p.line = append(p.line, b...)
			return n, nil
		}
		p.read(string(append(p.line, b[:i]...)))
		p.line = p.line[:0]
		b = b[i+1:]
	}
}

func (p *reportReader) read(line string) {
	text := strings.TrimSpace(line)
	top := strings.HasPrefix(line, "---")
	switch {
	case strings.HasPrefix(text, "--- SKIP: "):
		if !strings.Contains(p.reason, " is off: switch it on with") {
			name, _, _ := strings.Cut(strings.TrimPrefix(text, "--- SKIP: "), " ")
			p.r.Skipped = append(p.r.Skipped, name+" ("+p.reason+")")
		}
	case strings.HasPrefix(text, "--- PASS: ") && top:
		p.r.Passed++
	case strings.HasPrefix(text, "--- FAIL: ") && top:
		p.r.Failed++
	case strings.HasPrefix(text, "=== "):
	default:
		p.reason = text
	}
}

func (p *reportReader) result() TestResult {
	if len(p.line) > 0 {
		p.read(string(p.line))
		p.line = nil
	}
	return p.r
}
