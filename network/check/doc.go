// Package check looks at a host for what makes its guests' network fail in
// ways that are hard to see: settings that other software made, families of
// firewall rules that do not know each other, tables that run full.
//
//	seen, err := check.Read(ctx, nil)
//	for _, f := range check.Findings(seen) {
//		fmt.Println(f)
//	}
//
// Read only reads. Findings is pure: what was seen can be kept, sent, or made
// by hand in a test.
package check
