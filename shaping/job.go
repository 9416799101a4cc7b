package shaping

import "errors"

// A job is what has to be said to the kernel so that it is as wanted. Limits
// are made before traffic is sent to them and taken away after, and one that
// is there is changed in place by one message.
type job struct {
	links  []message // interfaces that are made before the rest can be planned
	set    []message // queues and classes, made or changed
	leaves []leaf    // queues below new ones
	notes  []message // one transaction
	drop   []message // what nobody wants any more
}

func (j *job) empty() bool {
	return len(j.links)+len(j.set)+len(j.leaves)+len(j.notes)+len(j.drop) == 0
}

// A leaf waits below a class or a bucket; limit is its length in bytes where
// the kernel has no fq_codel, and 0 where the default is good then.
type leaf struct {
	at    leafAt
	limit uint32
	about string
}

// prepared makes the interfaces that a job needs first; again plans the rest, now
// that they are there.
func (k *kernel) prepared(j *job, again func() (*job, error)) (*job, error) {
	if len(j.links) == 0 {
		return j, nil
	}
	if err := k.route.say(j.links); err != nil {
		return nil, err
	}
	return again()
}

// carryOut does a job.
func (l *Linux) carryOut(k *kernel, j *job) error {
	if err := k.route.say(j.set); err != nil {
		return err
	}
	if err := l.putLeaves(k, j.leaves); err != nil {
		return err
	}
	if err := k.nft.transact(j.notes); err != nil {
		return err
	}
	return k.route.say(j.drop)
}

// putLeaves tries the kernel's best queue on the first leaf, and gives all the
// next best if it has none.
func (l *Linux) putLeaves(k *kernel, leaves []leaf) error {
	var fair, short []message
	for _, f := range leaves {
		fair = append(fair, setFairLeaf(f.at.link, f.at.parent, f.about))
		if f.limit != 0 {
			short = append(short, setShortLeaf(f.at.link, f.at.parent, f.limit, f.about))
		}
	}
	if len(fair) == 0 {
		return nil
	}
	if !l.plain.Load() {
		err := k.route.say(fair[:1])
		if !errors.Is(err, errors.ErrUnsupported) {
			return errors.Join(err, k.route.say(fair[1:]))
		}
		l.plain.Store(true)
	}
	return k.route.say(short)
}
