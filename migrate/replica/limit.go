package replica

import "github.com/xenhost/xenhost/internal/pace"

// Limit is how many bytes a second the runs that share it send together. nil is
// no limit. It is safe for concurrent use.
type Limit struct{ pace *pace.Limit }

// NewLimit returns a limit of that many bytes in a second; 0 is none.
func NewLimit(bytes int64) *Limit { return &Limit{pace.New(bytes)} }
