package link

// A group that has begun anew without members that were lost is another one to its sessions: those that were given up, and still
// live, may lead what it was before, and know nothing of it yet. Who asks a leader to attach says which era of the group he knows,
// and only one in the same lets him in.

// eras tells which era of a group the metadata knows of, and which one is led here.
func (e *Env) eras(id uint64) (known, led uint64) {
	if e.Era == nil {
		return 0, 0
	}
	return e.Era(id)
}

// past tells whether what is led here is of another era than the one that somebody knows.
func (e *Env) past(id, known uint64) bool {
	_, led := e.eras(id)
	return led != known
}

// Renewed tells that the metadata knows of another era of a group: who is attached to a leader of the one before looks for another.
func (l *Links) Renewed(id uint64) {
	r := l.known(id)
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hint = 0
	r.detach()
	r.tell()
}
