package dom0test

import (
	"os"
	"testing"

	"github.com/xenhost/xenhost/xen/dom0"
)

// RecordEnv is the environment variable that makes Open record.
const RecordEnv = "XENHOST_RECORD"

// Options are for recording and replay alike; give both the same.
type Options struct {
	// Rewrite makes an argument, or an entry of Cmd.Env, the same in every run,
	// where it names something that changes: a temporary file, a process
	// number. The command itself runs with the original. nil keeps all.
	Rewrite func(arg string) string
}

// Open records to path what real answers if XENHOST_RECORD=1 and real is not
// nil, and replays path otherwise.
func Open(t testing.TB, path string, real dom0.Runner, opts *Options) dom0.Runner {
	t.Helper()
	if os.Getenv(RecordEnv) == "1" && real != nil {
		return Record(t, path, real, opts)
	}
	return Replay(t, path, opts)
}

func (o *Options) rewrite(args []string) []string {
	var out []string
	for _, arg := range args {
		if o != nil && o.Rewrite != nil {
			arg = o.Rewrite(arg)
		}
		out = append(out, arg)
	}
	return out
}
