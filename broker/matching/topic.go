package matching

import (
	"strings"

	"github.com/benbjohnson/immutable"

	"github.com/warrenmq/warren/protocol"
)

// topic selects the bindings whose pattern matches the words of the routing key: a trie of words, * for one word, # for
// any number of them (spec 3.1.3.3).
type topic struct{ root node }

// node is a place in the trie. Words that follow are few or very many, which the map handles both.
type node struct {
	here  list
	words *immutable.Map[string, *node]
	star  *node
	hash  *node
}

// topicHashMax is how many # a pattern may have: each multiplies the ways through the trie.
const topicHashMax = 2

func bindTopic(b *Binding) *protocol.Error {
	if n := countHashes(b.Key); n > topicHashMax {
		return protocol.PreconditionFailed("Topic binding key '%s' uses %d '#' wildcards, at most %d are allowed", b.Key, n, topicHashMax)
	}
	return nil
}

func countHashes(pattern string) int {
	n := 0
	for word := range strings.SplitSeq(pattern, ".") {
		if word == "#" {
			n++
		}
	}
	return n
}

// cut splits the first word off a key; more tells whether a word follows.
func cut(key string) (word, rest string, more bool) { return strings.Cut(key, ".") }

func (x *topic) With(b *Binding) Index {
	return &topic{*x.root.with(b, b.Key, b.Key != "")}
}

func (x *topic) Without(b *Binding) Index {
	if n := x.root.without(b, b.Key, b.Key != ""); n != nil {
		return &topic{*n}
	}
	return &topic{}
}

func (x *topic) ByKey() bool { return true }

// with gives a copy of n (nil: an empty one) that has b under the words of pattern.
func (n *node) with(b *Binding, pattern string, more bool) *node {
	next := node{}
	if n != nil {
		next = *n
	}
	if !more {
		next.here = next.here.with(b)
		return &next
	}
	word, rest, more := cut(pattern)
	switch word {
	case "*":
		next.star = next.star.with(b, rest, more)
	case "#":
		next.hash = next.hash.with(b, rest, more)
	default:
		if next.words == nil {
			next.words = immutable.NewMap[string, *node](nil)
		}
		child, _ := next.words.Get(word)
		next.words = next.words.Set(word, child.with(b, rest, more))
	}
	return &next
}

// without gives a copy of n that lacks b, nil if nothing is left.
func (n *node) without(b *Binding, pattern string, more bool) *node {
	if n == nil {
		return nil
	}
	next := *n
	if !more {
		next.here = next.here.without(b)
		return next.orNil()
	}
	word, rest, more := cut(pattern)
	switch word {
	case "*":
		next.star = next.star.without(b, rest, more)
	case "#":
		next.hash = next.hash.without(b, rest, more)
	default:
		next.dropWord(b, word, rest, more)
	}
	return next.orNil()
}

func (n *node) dropWord(b *Binding, word, rest string, more bool) {
	if n.words == nil {
		return
	}
	child, ok := n.words.Get(word)
	if !ok {
		return
	}
	if child = child.without(b, rest, more); child == nil {
		n.words = n.words.Delete(word)
	} else {
		n.words = n.words.Set(word, child)
	}
	if n.words.Len() == 0 {
		n.words = nil
	}
}

func (n *node) orNil() *node {
	if n.here.count == 0 && n.words == nil && n.star == nil && n.hash == nil {
		return nil
	}
	return n
}

func (x *topic) Match(m *Message, visit func(*Target)) {
	x.root.match(m.Key, m.Key != "", visit)
}

// match visits what the words of key select from here on; more tells that there is a word, perhaps an empty one.
func (n *node) match(key string, more bool, visit func(*Target)) {
	if n.hash != nil {
		n.hash.matchTail(key, more, visit)
	}
	if !more {
		n.here.each(visit)
		return
	}
	word, rest, more := cut(key)
	if n.words != nil {
		if child, ok := n.words.Get(word); ok {
			child.match(rest, more, visit)
		}
	}
	if n.star != nil {
		n.star.match(rest, more, visit)
	}
}

// matchTail tries every number of words that a # may swallow.
func (n *node) matchTail(key string, more bool, visit func(*Target)) {
	if n.words == nil && n.star == nil && n.hash == nil {
		n.here.each(visit) // a # at the end swallows all
		return
	}
	for {
		n.match(key, more, visit)
		if !more {
			return
		}
		_, key, more = cut(key)
	}
}
