package xentest

// fault is one failure that a test asked for.
type fault struct {
	op    string
	after bool
	err   error
}

// Fail makes the next op fail with err before it does anything. op is the
// verb as in xen.Error: create, check, shutdown, destroy, reboot, pause,
// unpause, rename, list, lookup, info, features, save, restore, attach disk,
// detach disk, attach vif, detach vif, insert, eject, set memory, set vcpus,
// vcpus, pin, share, set share, config, update config, console, screen; of a
// migration send, suspend, xl, receive, start and settle. Faults for one op are used up in
// order.
func (f *Fake) Fail(op string, err error) { f.addFault(fault{op: op, err: err}) }

// FailAfter makes the next op that would succeed do its work and then fail
// with err, as when the connection or the caller dies in the last moment.
func (f *Fake) FailAfter(op string, err error) { f.addFault(fault{op: op, after: true, err: err}) }

func (f *Fake) addFault(x fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, x)
}

// fault takes the first fault of that kind.
func (f *Fake) fault(op string, after bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, x := range f.faults {
		if x.op == op && x.after == after {
			f.faults = append(f.faults[:i:i], f.faults[i+1:]...)
			return x.err
		}
	}
	return nil
}
