// Package handover is the order in which a guest changes its host, and the
// rule by which an interrupted change ends.
//
// Each host keeps one durable owner record a guest (package owner). At the
// source of a move it goes Running(e), Prepared(e), Fenced(e+1), Released(e+1);
// at the target Receiving(e+1), Ready, Committed, Running(e+1). The steps of a
// cold move and what they leave:
//
//	step       on      record after          a failure here
//	prepare    source  Prepared              back
//	offer      target  Receiving             back
//	receive    target                        back; volumes locked against boot scripts
//	snapshot   source                        back
//	copy       both                          back
//	stop       source                        back: the guest is started again
//	changes    both                          back
//	verify     both                          back
//	ready      target  Ready                 back
//	fence      source                        back: volumes are unlocked again
//	give up    source  Fenced                -- the cut-over: from here on forward
//	commit     target  Committed             forward
//	adopt      target                        forward
//	own        target  Running               forward
//	start      target                        forward
//	put aside  source                        forward
//	release    source  Released
//
// A live move differs behind copy. Its records carry Live; its two toolstacks
// speak through package relay, which lets a word pass at the steps in brackets:
//
//	step       on      record after          a failure here
//	round      source                        back
//	migrate    both                          back: the source's toolstack resumes the guest
//	           the domain is suspended at the source, complete and paused at the target
//	changes    both                          back
//	verify     both                          back
//	ready      target  Ready                 back
//	give up    source  Fenced                retract: it may run on at the source
//	[let go]   source                        retract
//	           its toolstack gives the domain away: only now can it not resume it
//	commit     target  Committed             forward
//	[unpause]  target                        forward
//	[report]   source                        forward
//	rise       target                        forward: a copy that was left paused goes on
//	adopt, own, start                        forward
//	bury       source                        what is left of its domain is destroyed
//	fence      source                        now its volumes can be made unusable
//	put aside, release
//
// So a guest may run at a source that is Fenced. While its domain is there and
// stands still, the way is forward; in every other case the source's disk may
// have more than the copy, and the target has to give up, durably, before the
// source gets it back.
//
// Two things keep a guest from running twice. A record allows a start on one
// host at most: the source's until Fenced is on its disk, the target's from
// Committed on, which is written after it. And volumes that are fenced, or not
// yet adopted, are inactive with LVM's activation-skip flag, so that no boot
// script, no xl create and no admin's vgchange -ay starts what the record
// forbids.
//
// Nothing remembers how far a hand-over got. Decide reads the two records, as
// they are while the guest is held on both hosts, and says which Way is left;
// the verbs of Pair do what is missing. A fence is lifted only when the
// target's Aborted is durable, or an operator vouches for it that the target
// runs nothing; a committed move is never aborted.
//
//	records of source, target        way
//	Prepared|Running, Receiving|Ready  back
//	Prepared, anything that lost       back
//	Fenced, Ready|Committed|Running    forward
//	Fenced (live), Ready               forward if the source's domain stands still, else retract
//	Fenced, Aborted                    lift: the source gets it back with a new epoch
//	Running twice, or Committed with a lower epoch than Running
//	                                   yield: the lower epoch gives in
//	Running, Released|Aborted|none     nothing
//	Running|Prepared, Replica          nothing, or back: a replica is none of a move
//	anything else                      ErrConflict: a person decides, nothing is started
//
// Where the other host is dead for ever, an operator can vouch for it by name:
// Overrule says what follows on the host that is left, Pair.Override does it.
// The record then has a newer epoch than any that the dead host can have from
// this move, so that it gives in when it comes back: at its boot, if it asks
// (host.Config.Peers), else at the next Resume.
//
// A Side is one host of it: Local over a held host.Host, and what package
// migrate puts in front of one at the other end of a connection.
package handover
