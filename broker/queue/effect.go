package queue

// SessionKey names a session in the cluster.
type SessionKey struct{ Node, Session uint64 }

// Grave is the Session that nobody has: its last number says how often all sessions of its node were ended as lost.
const Grave = 0

// Forwarders is the Node of those that forward what leaves a queue, one for each queue, wherever it is led. What they
// send twice is known by its letters: the numbers of their batches only tell which are applied.
const Forwarders = 1<<63 - 1

// Kind says what an effect is.
type Kind uint8

// The closed set of effects.
const (
	// Deliver: Count messages from Number on, for Consumer. They lie at Index, Offset, Stride apart.
	Deliver Kind = iota + 1
	// Confirm: the messages Number..Number+Count-1 of Channel are in all their queues here.
	Confirm
	// Refuse: the same messages were refused by a queue.
	Refuse
	// Answer: a Request is done; Outcome says how. Ready is a message count. One that names a Consumer comes behind what the
	// consumer is given.
	Answer
	// Got: the answer to a Get that found a message; it is described as in Deliver. Ready is what is left.
	Got
	// Cancelled: Consumer has lost its queue, or its patience with it (Outcome TimedOut).
	Cancelled
	// DeadLetters: Queue has dead letters to be forwarded, to be asked for with Set.Outbox.
	DeadLetters
	// Gone: Queue has ended by itself (Outcome says why); its metadata must follow.
	Gone
	// Unknown: messages wait for Queue, which is not here: it is to be declared, or deleted if there is none.
	Unknown
	// Applied: the batch Number of the session has taken effect.
	Applied
	// WakeAt: a Tick is wanted at log time Number.
	WakeAt
	// Resumed: what comes for Consumer from now on is whole again, from Number on. Ready are the bytes that are said again
	// or may still go to it.
	Resumed
	// Buried: the sessions of the node Number were ended, all there were.
	Buried
	// Active: Consumer became (Count 1) or ceased to be (Count 0) the single active one.
	Active
	// Adrift: the session need not wait for what the group has not applied. No machine says so, but the way to a group that
	// has had no leader for too long.
	Adrift
)

// Outcome is how a request ended.
type Outcome uint8

// Outcomes.
const (
	Done Outcome = iota
	Empty
	NoQueue
	InUse
	NotEmpty
	ExclusiveUse // an exclusive consumer is in the way
	SingleActive // basic.get is not for a queue with a single active consumer
	Unused       // the last consumer went, auto-delete
	Expired      // nobody used it for the time it was given
	TimedOut     // the consumer took too long to settle what it had; Number is the time it was given, in milliseconds
	Unavailable  // the group has no leader: the request was turned away on the way to it
)

// Effect is one thing that must now happen. Which fields count depends on Kind.
type Effect struct {
	Kind        Kind
	Outcome     Outcome
	Redelivered bool // of a Confirm or Refuse: it is said again, for a batch that was applied before
	NoAck       bool
	Stream      bool // a delivery from a stream: Ready is the offset of the first message
	To          SessionKey
	Queue       ID
	Consumer    uint32
	Request     uint32
	Channel     uint16
	Number      uint64
	Count       uint32
	Index       uint64
	Offset      uint32
	Stride      uint32
	Deliveries  uint32
	Acquired    uint32
	Ready       uint64
}
