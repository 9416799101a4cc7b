// Package relay stands between the two halves of a live migration of Xen's own
// tool and decides when they hear each other.
//
// xl migrate on the source and xl migrate-receive on the target speak over one
// pair of pipes. In order:
//
//	target  "xl migration receiver ready, send binary domain data.\n"
//	source  the domain: its configuration, its memory while it runs, its CPUs
//	        (the source is suspended now, the target's copy paused)
//	target  "domain received, ready to unpause\0"
//	source  "domain is yours, you are cleared to unpause\0"
//	target  "my copy unpause results are as follows\0" and a byte, 0 is well
//
// Until the source has said that the domain is the target's, it resumes the
// domain by itself when its pipe ends; after that word it has no power over it.
// So the moment before "ready" is when the disks can be brought up to date, and
// the moment after "yours" is when the target can be committed. Three parts make
// these moments ours:
//
//	Source  beside xl migrate: packs what it says, gives it the target's words
//	Target  beside xl migrate-receive: the reverse
//	Join    between the two, where the mover is: calls its Gate at READY, at GO
//	        and when the target runs, and lets a word pass when that returned nil
//
// An answer other than "0, it runs" is never given to the source: xl would then
// wait for a word on which it resumes the domain, behind a target that was
// committed.
//
// # On the wire
//
// Between the parts go frames: a type, a length of 32 bits, little endian, and
// that many bytes. Runs of zeros travel as their length, the rest in zstd
// frames where that is smaller. Each part sends a sign of life when it has
// nothing else to say, and gives up when it has heard nothing for a while. What
// a part of another version, or of bad will, may make of a frame is checked: the
// order of the words, and lengths before anything is allocated.
//
// A part ends with the first error of any of its three ends and does not close
// them: whoever made them does, and that is how a migration is cancelled.
package relay
