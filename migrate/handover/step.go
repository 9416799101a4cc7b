package handover

// Step is one effect of a move, on one host.
type Step struct {
	Name Name   `json:"name"`
	Host string `json:"host"`
	Dev  string `json:"dev,omitempty"` // the disk, of a step that is done for each
}

// String reads as "copy xvda on islay".
func (s Step) String() string {
	t := string(s.Name)
	if s.Dev != "" {
		t += " " + s.Dev
	}
	return t + " on " + s.Host
}

// Name names a step.
type Name string

// The steps of a move, in order.
const (
	Prepare  Name = "prepare"  // source record: Prepared
	Offer    Name = "offer"    // target record: Receiving
	Receive  Name = "receive"  // target makes the volumes
	Snapshot Name = "snapshot" // source makes snapshots
	Compare  Name = "compare"  // each disk of which target has an old copy: it tells what that holds
	Copy     Name = "copy"     // each disk, while the guest runs
	Round    Name = "round"    // live, two-pass: source begins to follow writes anew
	Migrate  Name = "migrate"  // live: the memory, while the guest runs; downtime begins at its end
	Stop     Name = "stop"     // the guest is asked to power off: downtime begins
	Changes  Name = "changes"  // each disk: what changed since the snapshot
	Verify   Name = "verify"   // each disk: both hosts read it again
	Ready    Name = "ready"    // target record: Ready
	Fence    Name = "fence"    // source makes its volumes unusable
	GiveUp   Name = "give up"  // source record: Fenced; from here on only forward
	LetGo    Name = "let go"   // live: source's toolstack is told that it may give the domain away
	Commit   Name = "commit"   // target record: Committed
	Unpause  Name = "unpause"  // live: target's toolstack is told that the domain is its own
	Report   Name = "report"   // live: source's toolstack is told that it runs: downtime has ended
	Rise     Name = "rise"     // live: the copy goes on, if it was left paused
	Adopt    Name = "adopt"    // target: definition, volumes, network
	Own      Name = "own"      // target record: Running
	Start    Name = "start"    // the guest starts: downtime ends
	Bury     Name = "bury"     // live: source destroys what is left of the domain
	PutAside Name = "put aside"
	Release  Name = "release" // source record: Released
)

// The steps of a way back.
const (
	Unfence Name = "unfence" // source: volumes usable, snapshots gone
	Keep    Name = "keep"    // source record: Running
	Discard Name = "discard" // target: volumes gone
	Abort   Name = "abort"   // target record: Aborted
)
