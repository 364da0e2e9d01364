package queue

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/store/oplog"
)

// generator thinks up what sessions do. It looks at the model to do what sessions could do, and now and then does what none
// should.
type generator struct {
	rng       *rand.Rand
	seed      uint64
	model     *model
	lastQueue ID
	sessions  []*player
	requests  uint32
	messages  int
	sizes     []int
	deep      bool // long backlogs: large bursts, little consumed
	produced  [3]uint64
	letters   [3]message.Letter // the newest, of three sources
}

// player is a session.
type player struct {
	key      SessionKey
	seq      uint64 // of its last batch; 0 for one whose batches are not counted
	counted  bool
	confirms [3]uint64 // messages in confirm mode, by channel
	consumer uint32
	last     batchSteps
}

// batchSteps is a batch before it is encoded: commands and bursts.
type batchSteps struct {
	from  SessionKey
	seq   uint64
	steps []any
}

func newGenerator(seed uint64) *generator {
	g := &generator{rng: rand.New(rand.NewPCG(seed, 1)), seed: seed}
	for n := range uint64(2) {
		for s := range uint64(3) {
			g.sessions = append(g.sessions, g.player(n+1, s+1))
		}
	}
	for range 1 + g.rng.IntN(3) {
		g.sizes = append(g.sizes, g.rng.IntN(40))
	}
	return g
}

func (g *generator) player(node, session uint64) *player {
	return &player{key: SessionKey{Node: node, Session: session}, counted: g.chance(70), consumer: 1}
}

// chance is true that often in a hundred.
func (g *generator) chance(percent int) bool { return g.rng.IntN(100) < percent }

func pick[T any](g *generator, from ...T) T { return from[g.rng.IntN(len(from))] }

// pass is how much time passes before the next entry.
func (g *generator) pass() int64 { return pick[int64](g, 0, 0, 0, 1, 5, 10, 50) }

func (g *generator) queue() ID {
	if g.lastQueue == 0 || g.chance(2) {
		return g.lastQueue + ID(g.rng.IntN(3))
	}
	return ID(max(1, int(g.lastQueue)-g.rng.IntN(5)))
}

func (g *generator) request() uint32 {
	g.requests++
	if g.chance(20) {
		return 0
	}
	return g.requests
}

// batch is what a session does next. A repeated batch is the same as the last one.
func (g *generator) batch() batchSteps {
	i := g.rng.IntN(len(g.sessions))
	p := g.sessions[i]
	if p.counted && p.last.seq != 0 && g.chance(5) {
		return p.last
	}
	b := batchSteps{from: p.key}
	if p.counted {
		p.seq++
		b.seq = p.seq
	}
	for range 1 + g.rng.IntN(4) {
		b.steps = append(b.steps, g.step(p))
	}
	p.last = b
	if g.chance(2) {
		b.steps = append(b.steps, g.down(i))
	}
	return b
}

// down ends a session, or all of a node. Its successor is another one.
func (g *generator) down(i int) *Down {
	key := g.sessions[i].key
	if g.chance(80) {
		g.sessions[i] = g.player(key.Node, key.Session+10)
		return &Down{Node: key.Node, First: key.Session, Last: key.Session, Lost: g.chance(30), Request: g.request()}
	}
	for j, p := range g.sessions {
		if p.key.Node == key.Node {
			g.sessions[j] = g.player(key.Node, p.key.Session+10)
		}
	}
	return &Down{Node: key.Node, Last: Everything, Lost: g.chance(50)}
}

func (g *generator) step(p *player) any {
	if g.lastQueue == 0 || g.chance(3) {
		return g.declare()
	}
	n := g.rng.IntN(100)
	if g.deep && g.chance(70) {
		n %= 38
	}
	switch {
	case n < 38:
		return g.burst(p)
	case n < 46:
		return g.attach(p)
	case n < 48:
		return &Detach{Consumer: g.held(p).id, Request: g.request()}
	case n < 49:
		return g.leave(p)
	case n < 57:
		return g.get(p)
	case n < 58:
		return &Adjust{Consumer: g.held(p).id, Prefetch: pick[uint32](g, 0, 1, 3, 10)}
	case n < 60:
		return &Credit{Consumer: g.held(p).id, Bytes: uint32(g.rng.IntN(2000))}
	case n < 76:
		c, from, to := g.some(p)
		return &Settle{Consumer: c, From: from, To: to}
	case n < 85:
		c, from, to := g.some(p)
		return &Return{Consumer: c, From: from, To: to, Cause: Cause(1 + g.rng.IntN(int(CauseLost)))}
	case n < 90:
		c, from, to := g.some(p)
		return &Reject{Consumer: c, From: from, To: to, Cause: pick(g, CauseNack, CauseReject)}
	case n < 95:
		return g.forwarded()
	case n < 96:
		return &Purge{Queue: g.queue(), Request: g.request()}
	case n < 97:
		return &Delete{Queue: g.queue(), Request: g.request(), IfUnused: g.chance(60), IfEmpty: g.chance(60)}
	case n < 98:
		return &Tick{}
	}
	return g.configure()
}

// queuesMax is how many queues there are at a time, about.
const queuesMax = 5

// declare makes a queue, or makes room for one.
func (g *generator) declare() Command {
	if ids := g.model.ids(); len(ids) > queuesMax {
		if q := g.model.queues[ids[0]]; q.deleted {
			return &Forwarded{Queue: ids[0], To: Everything}
		}
		return &Delete{Queue: ids[0], Request: g.request()}
	}
	id := g.lastQueue + 1
	if g.lastQueue > 0 && g.chance(30) {
		id = g.queue()
		if g.model.live(id) == nil { // the number of a queue that ended is not given again
			id = g.lastQueue + 1
		}
	}
	g.lastQueue = max(g.lastQueue, id)
	c := DefaultConfig()
	c.Type = pick(g, Classic, Classic, Classic, Quorum, Quorum, Quorum, Relay, Stream)
	c.SingleActive, c.AutoDelete = g.chance(20), g.chance(15)
	c.Durable, c.Exclusive = g.chance(50), g.chance(20)
	if c.Type == Relay {
		c.RelayExchange = pick(g, "x", "y")
	}
	if c.Type == Classic && g.chance(30) {
		c.MaxPriority = pick[uint8](g, 1, 3, 10, 255)
	}
	g.change(&c)
	return &Declare{Queue: id, Request: g.request(), Name: fmt.Sprint("q", id), Config: c}
}

// change sets what a policy can set.
func (g *generator) change(c *Config) {
	c.MessageTTLMs, c.ExpiresMs, c.MaxLength, c.MaxLengthBytes, c.DeliveryLimit = None, None, None, None, None
	if g.chance(25) {
		c.MessageTTLMs = pick[int64](g, 0, 1, 10, 100)
	}
	if g.chance(10) {
		c.ExpiresMs = pick[int64](g, 20, 100, 500)
	}
	if g.chance(35) {
		c.MaxLength = pick[int64](g, 0, 1, 3, 10, 30)
	}
	if g.chance(20) {
		c.MaxLengthBytes = pick[int64](g, 0, 30, 100, 500)
	}
	c.Overflow = pick(g, DropHead, DropHead, RejectPublish, RejectPublishDLX)
	if g.chance(60) {
		c.DeliveryLimit = pick[int64](g, 0, 1, 2, -1)
	}
	c.DeadLetter, c.AtLeastOnce = g.chance(50), g.chance(50)
	c.DeadLetterExchange, c.DeadLetterKeySet, c.DeadLetterKey = pick(g, "", "x", "y"), g.chance(30), pick(g, "", "k")
	if g.chance(20) {
		c.Retry = pick(g, RetryAll, RetryFailed, RetryReturned)
		c.RetryMinMs, c.RetryMaxMs = pick[int64](g, 0, 5, 50), pick[int64](g, 0, 20, 2000)
	}
	if c.Type == Stream && g.chance(60) {
		c.SegmentBytes, c.MaxAgeMs = pick[int64](g, 0, 1, 60, 300), pick[int64](g, None, None, 5, 50)
		c.FilterSize = pick[int64](g, 0, 16)
	}
	if g.chance(20) {
		c.ConsumerTimeoutMs = pick[int64](g, 0, 20, 200)
	}
	if c.Dedup = g.chance(20); c.Dedup {
		c.DedupSize, c.DedupTTLMs = pick[int64](g, None, 1, 3), pick[int64](g, None, 20)
	}
}

func (g *generator) configure() Command {
	id := g.queue()
	c := DefaultConfig()
	if q := g.model.live(id); q != nil {
		c.Type = q.c.Type
	}
	g.change(&c)
	if q := g.model.live(id); q != nil && g.chance(50) {
		c.ExpiresMs = q.c.ExpiresMs
	}
	return &Configure{Queue: id, Config: c}
}

func (g *generator) burst(p *player) *burst {
	b := &burst{channel: uint16(1 + g.rng.IntN(2)), targets: []ID{g.queue()}}
	for range g.rng.IntN(3) {
		if id := g.queue(); id != 0 && !slices.Contains(b.targets, id) {
			b.targets = append(b.targets, id)
		}
	}
	n := pick(g, 1, 1, 2, 5, 20)
	alike := g.chance(50)
	if g.deep && g.chance(20) {
		n, alike = 400, g.chance(10)
	}
	m := g.message()
	for range n {
		if !alike {
			m = g.message()
		}
		m.RoutingKey = fmt.Appendf(nil, "%07d", g.messages)
		g.messages++
		b.messages = append(b.messages, m)
	}
	if g.chance(60) {
		b.number = p.confirms[b.channel] + 1
		p.confirms[b.channel] += uint64(n)
	}
	return b
}

func (g *generator) message() message.Message {
	m := message.Message{
		Head:  message.Head{Priority: message.NoPriority},
		Props: make([]byte, pick(g, 2, 2, 20)),
		Body:  make([]byte, pick(g, g.sizes...)),
	}
	if g.chance(30) {
		m.Priority = uint8(pick(g, 0, 1, 3, 9, 40))
	}
	if g.chance(15) {
		m.Flags |= message.FlagExpiration
		m.Expiration = pick[uint64](g, 0, 1, 10, 100, 1e6)
	}
	if g.chance(50) {
		m.Flags |= message.FlagPersistent
	}
	if g.chance(3) {
		m.Flags |= message.FlagCounts | message.FlagRedelivered
		m.Deliveries, m.Acquired = uint32(g.rng.IntN(3)), uint32(g.rng.IntN(5))
	}
	if g.chance(10) {
		m.Flags |= message.FlagDedup
		m.Dedup = []byte(pick(g, "a", "b", "c", "d"))
	}
	if g.chance(5) {
		m.Flags |= message.FlagProducer
		m.Producer = 1 + uint64(g.rng.IntN(2))
		g.produced[m.Producer] += uint64(g.rng.IntN(3))
		m.Sequence = g.produced[m.Producer]
	}
	if g.chance(5) {
		m.Flags |= message.FlagLetter
		m.Letter = g.letter()
	}
	if g.chance(10) {
		m.Flags |= message.FlagDelay
		m.Delay = pick[uint64](g, 0, 1, 30, 2000, 100000)
	}
	if g.chance(10) {
		m.Flags |= message.FlagFilter
		m.Filter = []byte(pick(g, "x", "y"))
	}
	return m
}

// letter is one that an outbox holds: a new one, or one that was sent before. The floor rises behind it.
func (g *generator) letter() message.Letter {
	source := g.rng.IntN(len(g.letters))
	l := &g.letters[source]
	if g.chance(60) {
		l.Number += 1 + uint64(g.rng.IntN(2))
	}
	if g.chance(30) {
		l.Floor = min(l.Number, l.Floor+uint64(g.rng.IntN(4)))
	}
	return message.Letter{Source: uint64(100 + source), Number: l.Floor + g.rng.Uint64N(l.Number-l.Floor+1), Floor: l.Floor}
}

func (g *generator) attach(p *player) *Attach {
	p.consumer++
	id := p.consumer
	if g.chance(3) {
		id = max(1, id-uint32(g.rng.IntN(4)))
	}
	a := &Attach{
		Queue: g.queue(), Consumer: id, Request: g.request(), Channel: uint16(1 + g.rng.IntN(2)), Prefetch: pick[uint32](g, 0, 1, 2, 5, 20),
		Window: pick[uint32](g, 0, 100, 1000, 1e6, 1e6), NoAck: g.chance(25), Exclusive: g.chance(5),
		Tag: pick(g, "", "tag"),
	}
	if g.chance(20) {
		a.Arguments = []byte("a raw table")
	}
	if g.chance(30) {
		a.Priority = pick[int64](g, -1, 1, 5)
	}
	if g.chance(10) {
		a.TimeoutMs = pick[int64](g, 5, 100)
	}
	a.From = StreamOffset{Kind: OffsetKind(g.rng.IntN(int(OffsetAgo) + 1)), Value: g.rng.Int64N(300)}
	if a.From.Kind == OffsetTime {
		a.From.Value += worldBegins
	}
	if g.chance(30) {
		a.Filters, a.Unfiltered = []uint32{FilterHash([]byte("x"))}, g.chance(50)
	}
	return a
}

func (g *generator) get(p *player) *Get {
	id := g.queue()
	holder := 1000 + uint32(id)
	if g.chance(2) {
		holder = g.held(p).id
	}
	return &Get{Queue: id, Consumer: holder, Request: g.request(), Channel: 2, NoAck: g.chance(30)}
}

// leave ends a channel; of some of what its consumers hold the session says that it was seen.
func (g *generator) leave(p *player) *Leave {
	l := &Leave{Channel: uint16(1 + g.rng.IntN(2)), Request: g.request()}
	for range g.rng.IntN(4) {
		if c := g.held(p); len(c.unacked) > 0 {
			l.Seen = append(l.Seen, Seen{Consumer: c.id, Number: c.unacked[g.rng.IntN(len(c.unacked))].number})
		}
	}
	return l
}

// held is one of the session's consumers and holders.
func (g *generator) held(p *player) *modelConsumer {
	s := g.model.sessions[p.key]
	if s == nil || len(s.consumers) == 0 || g.chance(2) {
		return &modelConsumer{id: uint32(g.rng.IntN(10))}
	}
	ids := make([]uint32, 0, len(s.consumers))
	for id := range s.consumers {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return s.consumers[pick(g, ids...)]
}

// some is a part of what a consumer holds: one, a range, all.
func (g *generator) some(p *player) (id uint32, from, to uint64) {
	c := g.held(p)
	if n := len(c.unacked); n > 0 && g.chance(98) {
		i := g.rng.IntN(n)
		switch g.rng.IntN(4) {
		case 0:
			return c.id, c.unacked[i].number, c.unacked[i].number
		case 1:
			return c.id, c.unacked[i].number, c.unacked[i+g.rng.IntN(n-i)].number
		case 2:
			return c.id, 0, c.unacked[i].number
		}
		return c.id, 0, Everything
	}
	return c.id, uint64(g.rng.IntN(10)), uint64(g.rng.IntN(20))
}

func (g *generator) forwarded() *Forwarded {
	for _, id := range g.model.ids() {
		if q := g.model.queues[id]; len(q.outbox) > 0 && g.chance(50) {
			from := q.outbox[g.rng.IntN(len(q.outbox))].number
			return &Forwarded{Queue: id, From: from - from*uint64(g.rng.IntN(2)), To: from + uint64(g.rng.IntN(10))}
		}
	}
	return &Forwarded{Queue: g.queue(), From: 0, To: uint64(g.rng.IntN(50))}
}

// encode gives the batch as a log gets it.
func (b batchSteps) encode() oplog.Batch {
	var batch Batch
	for _, step := range b.steps {
		p, ok := step.(*burst)
		if !ok {
			batch.Add(step.(Command))
			continue
		}
		batch.close() // bursts that could share a command are two here
		number := p.number
		for i := range p.messages {
			batch.Publish(p.channel, number, p.targets, &p.messages[i])
			if number != 0 {
				number++
			}
		}
		batch.close()
	}
	return batchOf(b.from, b.seq, &batch)
}

// String shows the batch in the report of a failure.
func (b batchSteps) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "batch %d of %v:", b.seq, b.from)
	for _, step := range b.steps {
		p, ok := step.(*burst)
		if !ok {
			fmt.Fprintf(&out, "\n  %T%+v", step, step)
			continue
		}
		fmt.Fprintf(&out, "\n  publish ch%d %d to %v:", p.channel, p.number, p.targets)
		for i := range p.messages {
			m := &p.messages[i]
			fmt.Fprintf(&out, " %s(%d+%d p%d f%b e%d %s d%d s%d.%d %s)", m.RoutingKey, len(m.Body), len(m.Props), m.Priority, m.Flags, m.Expiration, m.Dedup, m.Delay, m.Producer, m.Sequence, m.Filter)
		}
	}
	out.WriteString("\n")
	return out.String()
}
