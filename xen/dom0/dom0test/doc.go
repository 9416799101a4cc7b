// Package dom0test records what real commands answered and replays it in
// tests, so that code which drives xl or lvm is tested against their true
// output on a machine that has neither.
//
// A test opens a recording and hands the Runner to the code under test:
//
//	func TestDomains(t *testing.T) {
//		r := dom0test.Open(t, "testdata/domains.txtar", dom0.Local{}, nil)
//		domains, err := xl.New(r, nil).List(t.Context())
//		...
//	}
//
// To make the recording again, run the test where the commands exist (in a
// dom0, or as root beside a loop device) and look at the difference:
//
//	XENHOST_RECORD=1 go test -run TestDomains ./xen/xl && git diff testdata
//
// A recording is a txtar archive that people read and review. Command 7 is made
// of 007/command (argv, input digest, exit code), 007/stdout and 007/stderr. An
// output that does not end in a newline is named 007/stdout.nonl, and one that
// is not plain text 007/stdout.base64, so that every byte comes back.
//
// Replay is strict: the same commands, in the same order, with the same input,
// all of them. It does not understand commands; a double with a state is what
// the fakes of the packages above are for. Func and Fault inject failures.
package dom0test
