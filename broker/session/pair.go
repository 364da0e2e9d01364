package session

import "sync"

// pair brings together something that gets done and what is to happen then, whichever comes first. The zero value is
// ready.
type pair struct {
	mu   sync.Mutex
	is   bool
	next func()
}

// done says that it is done. An error means that it never will be.
func (p *pair) done(err error) {
	if err != nil {
		return
	}
	p.mu.Lock()
	next := p.next
	p.is, p.next = true, nil
	p.mu.Unlock()
	if next != nil {
		next()
	}
}

// then sets what happens once it is done.
func (p *pair) then(next func()) {
	p.mu.Lock()
	if !p.is {
		p.next = next
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	next()
}
