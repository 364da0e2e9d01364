package queue

import "math"

// ID names a queue's machine. It is given once, when the queue is declared, and never again.
type ID uint64

// Op says which command it is.
type Op uint8

// The commands. Numbers are on disk and on the wire: they are never given again.
const (
	OpDeclare Op = iota + 1
	OpDelete
	OpPurge
	OpPublish
	OpAttach
	OpDetach
	OpCredit
	OpSettle
	OpReturn
	OpReject
	OpGet
	OpDown
	OpTick
	OpConfigure
	OpForwarded
	OpLeave
	OpAdjust
	OpKnows
)

// commandVersion is the form in which commands are written. Older forms stay readable.
const commandVersion = 1

// commandHead is op, version and the length of what follows.
const commandHead = 6

// Command is one of the closed set below, or a publish, which Batch.Publish writes.
type Command interface {
	op() Op
	append(dst []byte) []byte
	decode(r *reader)
}

// Declare makes a queue. One that exists is left as it is; if it is a classic one, that counts as a sign of use.
type Declare struct {
	Queue   ID
	Request uint32 // answered with a Reply, if not 0
	VHost   string
	Name    string
	Config  Config
}

// Configure replaces the configuration of a queue, but for what its declaration alone decides: a policy changed.
type Configure struct {
	Queue  ID
	Config Config
}

// Delete removes a queue and what it holds; nothing is dead-lettered.
type Delete struct {
	Queue    ID
	Request  uint32
	IfUnused bool
	IfEmpty  bool
}

// Purge drops the ready messages, and dead letters that wait for their targets.
type Purge struct {
	Queue   ID
	Request uint32
}

// Attach adds a consumer. Its number must be free: consumers and holders share the numbers of a session.
type Attach struct {
	Queue     ID
	Consumer  uint32 // the session's number for it
	Request   uint32
	Channel   uint16
	Prefetch  uint32 // unacked messages at a time; 0: no limit
	Window    uint32 // bytes on their way to the session at a time
	NoAck     bool
	Exclusive bool
	Priority  int64
	TimeoutMs int64 // for an acknowledgement; 0: the queue's
	Tag       string
	Arguments []byte // the raw table, for whoever lists consumers

	From       StreamOffset // where a stream's reader begins
	Filters    []uint32     // hashes of the filter values it takes; none: all
	Unfiltered bool         // with Filters: it takes messages without a value too
}

// OffsetKind says how a reader's first offset is meant.
type OffsetKind uint8

// Kinds of offsets, RabbitMQ's x-stream-offset.
const (
	OffsetNext     OffsetKind = iota // what comes from now on
	OffsetFirst                      // the oldest there is
	OffsetLast                       // what came last
	OffsetAbsolute                   // Value, or the next there is once it is reached
	OffsetTime                       // what came at or after Value, milliseconds since the epoch
	OffsetAgo                        // what came in the last Value milliseconds
)

// StreamOffset is where a stream's reader begins.
type StreamOffset struct {
	Kind  OffsetKind
	Value int64
}

// Detach removes a consumer; its unacked messages stay unacked.
type Detach struct {
	Consumer uint32
	Request  uint32
}

// Credit says that bytes have left the session's socket.
type Credit struct {
	Consumer uint32
	Bytes    uint32
}

// Settle acknowledges the deliveries From..To of a consumer.
type Settle struct {
	Consumer uint32
	From, To uint64
}

// Cause says why a message is returned or rejected.
type Cause uint8

// Causes. The difference shows in delivery counts and in the redelivered flag of a dead letter.
const (
	CauseNack        Cause = iota + 1 // basic.nack
	CauseReject                       // basic.reject
	CauseRecover                      // basic.recover
	CauseClosed                       // the channel or connection is gone
	CauseUndelivered                  // never left the session
	CauseTimeout                      // the consumer was too slow
	CauseLost                         // the session's node is gone
)

// Return puts the deliveries From..To of a consumer back.
type Return struct {
	Consumer uint32
	From, To uint64
	Cause    Cause
}

// Reject takes the deliveries From..To of a consumer out of the queue as failed: they are dead letters.
type Reject struct {
	Consumer uint32
	From, To uint64
	Cause    Cause
}

// Get takes one message for a holder, which is a consumer that only ever gets.
type Get struct {
	Queue    ID
	Consumer uint32 // the session's number for the holder, which is for this queue alone
	Request  uint32
	Channel  uint16
	NoAck    bool
}

// Down says that the sessions First..Last of a node are gone.
type Down struct {
	Node        uint64
	First, Last uint64
	Lost        bool // with their node: that is not the consumers' failure
	Request     uint32
}

// Leave says that a channel of the session is gone, with all consumers on it and all they hold.
type Leave struct {
	Channel uint16
	Request uint32
	Seen    []Seen // what is not listed was never delivered
}

// Seen says up to which delivery a consumer's messages have left the session.
type Seen struct {
	Consumer uint32
	Number   uint64
}

// Adjust changes how many unacked messages a consumer may have; 0: no limit.
type Adjust struct {
	Consumer uint32
	Prefetch uint32
}

// Knows says that whoever hands in what follows has metadata of a revision that the leader's may not have.
type Knows struct{ Revision uint64 }

// Tick lets time pass.
type Tick struct{}

// Forwarded says that the dead letters From..To of a queue are where they belong.
type Forwarded struct {
	Queue    ID
	From, To uint64
}

// Everything is the highest delivery number, for ranges.
const Everything = math.MaxUint64

func (*Declare) op() Op   { return OpDeclare }
func (*Configure) op() Op { return OpConfigure }
func (*Delete) op() Op    { return OpDelete }
func (*Purge) op() Op     { return OpPurge }
func (*Attach) op() Op    { return OpAttach }
func (*Detach) op() Op    { return OpDetach }
func (*Credit) op() Op    { return OpCredit }
func (*Settle) op() Op    { return OpSettle }
func (*Return) op() Op    { return OpReturn }
func (*Reject) op() Op    { return OpReject }
func (*Get) op() Op       { return OpGet }
func (*Down) op() Op      { return OpDown }
func (*Tick) op() Op      { return OpTick }
func (*Forwarded) op() Op { return OpForwarded }
func (*Leave) op() Op     { return OpLeave }
func (*Adjust) op() Op    { return OpAdjust }
func (*Knows) op() Op     { return OpKnows }

func (c *Declare) append(dst []byte) []byte {
	dst = le.AppendUint64(dst, uint64(c.Queue))
	dst = le.AppendUint32(dst, c.Request)
	dst = appendString(dst, c.VHost)
	dst = appendString(dst, c.Name)
	return c.Config.append(dst)
}

func (c *Declare) decode(r *reader) {
	c.Queue, c.Request = ID(r.uint64()), r.uint32()
	c.VHost, c.Name = r.string(), r.string()
	c.Config.decode(r)
}

func (c *Configure) append(dst []byte) []byte {
	return c.Config.append(le.AppendUint64(dst, uint64(c.Queue)))
}

func (c *Configure) decode(r *reader) {
	c.Queue = ID(r.uint64())
	c.Config.decode(r)
}

func (c *Delete) append(dst []byte) []byte {
	dst = le.AppendUint64(dst, uint64(c.Queue))
	dst = le.AppendUint32(dst, c.Request)
	return appendBool(appendBool(dst, c.IfUnused), c.IfEmpty)
}

func (c *Delete) decode(r *reader) {
	*c = Delete{Queue: ID(r.uint64()), Request: r.uint32(), IfUnused: r.bool(), IfEmpty: r.bool()}
}

func (c *Purge) append(dst []byte) []byte {
	return le.AppendUint32(le.AppendUint64(dst, uint64(c.Queue)), c.Request)
}

func (c *Purge) decode(r *reader) { *c = Purge{Queue: ID(r.uint64()), Request: r.uint32()} }

func (c *Attach) append(dst []byte) []byte {
	dst = le.AppendUint64(dst, uint64(c.Queue))
	dst = le.AppendUint32(dst, c.Consumer)
	dst = le.AppendUint32(dst, c.Request)
	dst = le.AppendUint16(dst, c.Channel)
	dst = le.AppendUint32(dst, c.Prefetch)
	dst = le.AppendUint32(dst, c.Window)
	dst = appendBool(appendBool(dst, c.NoAck), c.Exclusive)
	dst = le.AppendUint64(dst, uint64(c.Priority))
	dst = le.AppendUint64(dst, uint64(c.TimeoutMs))
	dst = appendString(dst, c.Tag)
	dst = appendBytes(dst, c.Arguments)
	dst = le.AppendUint64(append(dst, byte(c.From.Kind)), uint64(c.From.Value))
	return appendBool(appendHashes(dst, c.Filters), c.Unfiltered)
}

func appendHashes(dst []byte, hashes []uint32) []byte {
	dst = le.AppendUint32(dst, uint32(len(hashes)))
	for _, hash := range hashes {
		dst = le.AppendUint32(dst, hash)
	}
	return dst
}

func (r *reader) hashes() (hashes []uint32) {
	for n := r.uint32(); n > 0 && !r.bad; n-- {
		hashes = append(hashes, r.uint32())
	}
	return hashes
}

func (c *Attach) decode(r *reader) {
	*c = Attach{
		Queue: ID(r.uint64()), Consumer: r.uint32(), Request: r.uint32(), Channel: r.uint16(),
		Prefetch: r.uint32(), Window: r.uint32(), NoAck: r.bool(), Exclusive: r.bool(),
		Priority: r.int64(), TimeoutMs: r.int64(), Tag: r.string(), Arguments: append([]byte(nil), r.bytes()...),
		From: StreamOffset{Kind: OffsetKind(r.uint8()), Value: r.int64()}, Filters: r.hashes(), Unfiltered: r.bool(),
	}
}

func (c *Detach) append(dst []byte) []byte {
	return le.AppendUint32(le.AppendUint32(dst, c.Consumer), c.Request)
}

func (c *Detach) decode(r *reader) { *c = Detach{Consumer: r.uint32(), Request: r.uint32()} }

func (c *Credit) append(dst []byte) []byte {
	return le.AppendUint32(le.AppendUint32(dst, c.Consumer), c.Bytes)
}

func (c *Credit) decode(r *reader) { *c = Credit{Consumer: r.uint32(), Bytes: r.uint32()} }

func appendRange(dst []byte, consumer uint32, from, to uint64) []byte {
	return le.AppendUint64(le.AppendUint64(le.AppendUint32(dst, consumer), from), to)
}

func (c *Settle) append(dst []byte) []byte { return appendRange(dst, c.Consumer, c.From, c.To) }

func (c *Settle) decode(r *reader) {
	*c = Settle{Consumer: r.uint32(), From: r.uint64(), To: r.uint64()}
}

func (c *Return) append(dst []byte) []byte {
	return append(appendRange(dst, c.Consumer, c.From, c.To), byte(c.Cause))
}

func (c *Return) decode(r *reader) {
	*c = Return{Consumer: r.uint32(), From: r.uint64(), To: r.uint64(), Cause: Cause(r.uint8())}
}

func (c *Reject) append(dst []byte) []byte {
	return append(appendRange(dst, c.Consumer, c.From, c.To), byte(c.Cause))
}

func (c *Reject) decode(r *reader) {
	*c = Reject{Consumer: r.uint32(), From: r.uint64(), To: r.uint64(), Cause: Cause(r.uint8())}
}

func (c *Get) append(dst []byte) []byte {
	dst = le.AppendUint64(dst, uint64(c.Queue))
	dst = le.AppendUint32(dst, c.Consumer)
	dst = le.AppendUint32(dst, c.Request)
	dst = le.AppendUint16(dst, c.Channel)
	return appendBool(dst, c.NoAck)
}

func (c *Get) decode(r *reader) {
	*c = Get{Queue: ID(r.uint64()), Consumer: r.uint32(), Request: r.uint32(), Channel: r.uint16(), NoAck: r.bool()}
}

func (c *Down) append(dst []byte) []byte {
	dst = le.AppendUint64(le.AppendUint64(le.AppendUint64(dst, c.Node), c.First), c.Last)
	return le.AppendUint32(appendBool(dst, c.Lost), c.Request)
}

func (c *Down) decode(r *reader) {
	*c = Down{Node: r.uint64(), First: r.uint64(), Last: r.uint64(), Lost: r.bool(), Request: r.uint32()}
}

func (c *Leave) append(dst []byte) []byte {
	dst = le.AppendUint32(le.AppendUint16(dst, c.Channel), c.Request)
	dst = le.AppendUint32(dst, uint32(len(c.Seen)))
	for _, seen := range c.Seen {
		dst = le.AppendUint64(le.AppendUint32(dst, seen.Consumer), seen.Number)
	}
	return dst
}

func (c *Leave) decode(r *reader) {
	*c = Leave{Channel: r.uint16(), Request: r.uint32()}
	for n := r.uint32(); n > 0 && !r.bad; n-- {
		c.Seen = append(c.Seen, Seen{Consumer: r.uint32(), Number: r.uint64()})
	}
}

func (c *Adjust) append(dst []byte) []byte {
	return le.AppendUint32(le.AppendUint32(dst, c.Consumer), c.Prefetch)
}

func (c *Adjust) decode(r *reader) { *c = Adjust{Consumer: r.uint32(), Prefetch: r.uint32()} }

func (c *Knows) append(dst []byte) []byte { return le.AppendUint64(dst, c.Revision) }
func (c *Knows) decode(r *reader)         { c.Revision = r.uint64() }

func (c *Tick) append(dst []byte) []byte { return dst }
func (c *Tick) decode(*reader)           {}

func (c *Forwarded) append(dst []byte) []byte {
	return le.AppendUint64(le.AppendUint64(le.AppendUint64(dst, uint64(c.Queue)), c.From), c.To)
}

func (c *Forwarded) decode(r *reader) {
	*c = Forwarded{Queue: ID(r.uint64()), From: r.uint64(), To: r.uint64()}
}
