package matching

import (
	"math/rand/v2"

	"github.com/warrenmq/warren/protocol"
)

// random selects one binding, each time another.
type random struct {
	all list
	// local: only queues of this node count
	local bool
}

// With implements Index.
func (x *random) With(b *Binding) Index { return &random{x.all.with(b), x.local} }

// Without implements Index.
func (x *random) Without(b *Binding) Index { return &random{x.all.without(b), x.local} }

// ByKey implements Index.
func (x *random) ByKey() bool { return false }

// Match implements Index.
func (x *random) Match(_ *Message, visit func(*Target)) {
	if x.all.count == 0 {
		return
	}
	if !x.local {
		visit(x.all.at(rand.IntN(x.all.count)).Target) //nolint:gosec // fairness, not secrecy
		return
	}
	var here []*Target
	x.all.each(func(t *Target) {
		if t.Local {
			here = append(here, t)
		}
	})
	if len(here) > 0 {
		visit(here[rand.IntN(len(here))]) //nolint:gosec // fairness, not secrecy
	}
}

func bindLocal(b *Binding) *protocol.Error {
	if b.Key != "" {
		return protocol.PreconditionFailed("Non empty binding '%s' key not permitted", b.Key)
	}
	return nil
}

// at gives the binding at a position.
func (l list) at(i int) *Binding {
	for _, chunk := range l.chunks {
		if i < len(chunk) {
			return chunk[i]
		}
		i -= len(chunk)
	}
	return nil
}
