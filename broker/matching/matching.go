// Package matching owns the question which bindings of one exchange a message selects.
//
// An Index is the bindings of one exchange, in the form its type needs: a map for direct, a trie for topic, a list for
// fanout and headers, a ring for the hashing ones. It is immutable: With and Without give a new Index that shares what did
// not change, so that a reader never waits and adding the hundred-thousandth binding costs no more than the tenth.
//
//  1. New gives the empty index of an exchange type, after Validate accepted its arguments;
//  2. With and Without follow the bindings as they are made and removed;
//  3. Match visits the targets of the bindings that a message selects.
package matching

import (
	"slices"
	"strings"

	"github.com/warrenmq/warren/protocol"
)

// Target is where a binding leads. Two bindings lead to the same place if they hold the same Target.
type Target struct {
	Name     string
	Exchange bool   // an exchange, else a queue
	Queue    uint64 // id of the queue's machine
	Group    uint64 // the group that holds it
	Local    bool   // a queue on this node
}

// Binding is one binding of an exchange. Its fields are set once.
type Binding struct {
	Key       string
	Arguments protocol.RawTable
	Target    *Target
	headers   *headerMatch
	weight    int
}

// Message is what a binding may look at. All is borrowed.
type Message struct {
	Key        string
	Keys       []string // all routing keys, Key included, where the exchange looks at all of them
	Headers    protocol.RawTable
	Properties protocol.Properties
}

// Index is the bindings of one exchange.
type Index interface {
	With(b *Binding) Index
	Without(b *Binding) Index
	// Match visits targets, some perhaps more than once.
	Match(m *Message, visit func(*Target))
	// ByKey tells that nothing but the routing key decides, and always the same way, so that an answer may be kept.
	ByKey() bool
}

// Kind is an exchange type.
type Kind struct {
	Name        string
	Description string
	Memory      Memory
	make        func(arguments protocol.RawTable) (Index, *protocol.Error)
	bind        func(b *Binding) *protocol.Error
}

// kinds are the exchange types.
var kinds = []Kind{
	{Name: "direct", Description: "AMQP direct exchange, as per the AMQP specification", make: plain(Index(&direct{}))},
	{Name: "fanout", Description: "AMQP fanout exchange, as per the AMQP specification", make: plain(Index(&fanout{}))},
	{Name: "headers", Description: "AMQP headers exchange, as per the AMQP specification", make: plain(Index(&headers{})), bind: bindHeaders},
	{Name: "topic", Description: "AMQP topic exchange, as per the AMQP specification", make: plain(Index(&topic{})), bind: bindTopic},
	{Name: "x-consistent-hash", Description: "Consistent Hashing Exchange", make: newConsistentHash, bind: bindWeight},
	{Name: "x-delayed-message", Description: "Delayed Message Exchange.", Memory: Delays},
	{Name: "x-local-random", Description: "Picks one random local binding (queue) to route via (to).", make: plain(Index(&random{local: true})), bind: bindLocal},
	{Name: "x-message-deduplication", Description: "Message Deduplication Exchange.", Memory: Deduplicates, make: newDeduplicating},
	{Name: "x-modulus-hash", Description: "Modulus Hashing Exchange", make: plain(Index(&modulusHash{}))},
	{Name: "x-random", Description: "Randomly picks a binding (queue) to route via (to).", make: plain(Index(&random{}))},
	{Name: "x-recent-history", Description: "Recent History Exchange.", Memory: Remembers, make: newHistory},
}

func plain(empty Index) func(protocol.RawTable) (Index, *protocol.Error) {
	return func(protocol.RawTable) (Index, *protocol.Error) { return empty, nil }
}

// Lookup finds an exchange type.
func Lookup(name string) (Kind, bool) {
	i := slices.IndexFunc(kinds, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return Kind{}, false
	}
	return kinds[i], true
}

// Kinds gives all exchange types, ordered by name.
func Kinds() []Kind {
	list := slices.Clone(kinds)
	slices.SortFunc(list, func(a, b Kind) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// New gives the empty index of an exchange with these arguments, or the refusal of its declaration.
func (k Kind) New(arguments protocol.RawTable) (Index, *protocol.Error) {
	if k.Memory != Delays {
		return k.make(arguments)
	}
	routing, refusal := inner(arguments)
	if refusal != nil {
		return nil, refusal
	}
	return routing.New(arguments)
}

// Prepare checks a binding's key and arguments and notes what Match will need.
func (k Kind) Prepare(b *Binding) *protocol.Error {
	if k.bind == nil {
		return nil
	}
	return k.bind(b)
}
