package queue

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/cockroachdb/datadriven"

	"github.com/warrenmq/warren/broker/message"
)

// The commands of a script, with their arguments and what these are if they are not given:
//
//	declare    q=1 r=0 type=classic|quorum|stream|relay, and any of: durable auto-delete exclusive sac ttl= expires=
//	           max-length= max-bytes= overflow=drop-head|reject-publish|reject-publish-dlx priorities= limit= dlx
//	           at-least-once retry=all|failed|returned retry-min= retry-max= timeout= dedup size= age= max-age= segment=
//	configure  as declare
//	publish    q=1,2 ch=1 confirm=FIRST ttl= priority= size= properties= persistent redelivered failed= acquired=
//	           delay= key= producer= sequence= filter=, then the messages' names; or each message with its own
//	           arguments on a line below
//	attach     q=1 c=1 r=0 ch=1 prefetch=0 window=1000000 priority=0 timeout=0 no-ack exclusive
//	           offset=next|first|last|absolute|time|ago at= filters= unfiltered
//	detach     c=1 r=0
//	credit     c=1 bytes=
//	settle     c=1 n=FROM-TO|all
//	return     c=1 n= cause=nack|reject|recover|closed|undelivered|timeout
//	reject     c=1 n= cause=nack|reject
//	get        q=1 c=100 r=1 ch=1 no-ack
//	delete     q=1 r=1 if-unused if-empty
//	purge      q=1 r=1
//	adjust     c=1 prefetch=
//	leave      ch=1 r=0 seen=CONSUMER:NUMBER,..
//	down       s=FROM-TO node=1 r=0 lost
//	forwarded  q=1 n=FROM-TO
//	tick       ms=0, which pass before it
//	batch      seq=, with commands on the lines below
//	resume     seen=CONSUMER:NUMBER,..
//	counts q=1, outbox q=1 from=, pending, queues, live, snapshot (the script goes on with a restored set)
//
// A number may be written 3d+1: what three deliveries of messages of 100 bytes cost, and one.
//
// Every command takes from=s1, or from=n2.s1 for a session of node 2. Flags are written +flag.

// args are the arguments of a command; what has no "=" and no "+" is a name.
type args struct {
	s     *script
	set   map[string]string
	names []string
}

func (s *script) args(d *datadriven.TestData) args {
	line := make([]string, 0, len(d.CmdArgs))
	for _, arg := range d.CmdArgs {
		word := arg.Key
		if len(arg.Vals) > 0 {
			word += "=" + strings.Join(arg.Vals, ",")
		}
		line = append(line, word)
	}
	return s.words(strings.Join(line, " "))
}

func (s *script) words(line string) args {
	a := args{s: s, set: map[string]string{}}
	for _, word := range strings.Fields(line) {
		key, value, given := strings.Cut(word, "=")
		switch {
		case given:
			a.set[key] = value
		case strings.HasPrefix(key, "+"):
			a.set[key[1:]] = "yes"
		default:
			a.names = append(a.names, key)
		}
	}
	return a
}

func (a args) has(key string) bool { return a.set[key] != "" }

func (a args) number(key string, otherwise int64) int64 {
	text := a.set[key]
	if text == "" {
		return otherwise
	}
	times := int64(0)
	if count, more, found := strings.Cut(text, "d"); found {
		m := args{s: a.s, set: map[string]string{"size": "100"}}.message("m")
		times, _ = strconv.ParseInt(count, 10, 64)
		times *= int64(m.Length()) + RecordGap + DeliveryOverhead
		text = cmp.Or(more, "0")
	}
	n, err := strconv.ParseInt(text, 10, 64)
	n += times
	if err != nil {
		a.s.t.Fatalf("%s: %s=%s is not a number", a.s.pos, key, text)
	}
	return n
}

// span is FROM-TO, or one number, or all.
func (a args) span(key string) (from, to uint64) {
	text := a.set[key]
	if text == "all" {
		return 0, Everything
	}
	first, last, more := strings.Cut(text, "-")
	if !more {
		last = first
	}
	from, err := strconv.ParseUint(first, 10, 64)
	if err == nil {
		to, err = strconv.ParseUint(last, 10, 64)
	}
	if err != nil {
		a.s.t.Fatalf("%s: %s=%s is not a range", a.s.pos, key, text)
	}
	return from, to
}

func (a args) from() SessionKey {
	key := SessionKey{Node: 1, Session: 1}
	if text := a.set["from"]; text != "" {
		if _, err := fmt.Sscanf(text, "n%d.s%d", &key.Node, &key.Session); err != nil {
			if _, err := fmt.Sscanf(text, "s%d", &key.Session); err != nil {
				a.s.t.Fatalf("%s: from=%s is not a session", a.s.pos, text)
			}
		}
	}
	return key
}

func (a args) choice(key string, choices ...string) int {
	for i, c := range choices {
		if a.set[key] == c {
			return i
		}
	}
	if a.has(key) {
		a.s.t.Fatalf("%s: %s=%s is none of %v", a.s.pos, key, a.set[key], choices)
	}
	return 0
}

func (a args) cause() Cause {
	return Cause(1 + a.choice("cause", "nack", "reject", "recover", "closed", "undelivered", "timeout"))
}

func (a args) config() Config {
	c := DefaultConfig()
	c.Type = Type(a.choice("type", "classic", "quorum", "stream", "relay"))
	c.Durable, c.AutoDelete, c.Exclusive = a.has("durable"), a.has("auto-delete"), a.has("exclusive")
	c.SingleActive = a.has("sac")
	c.MessageTTLMs, c.ExpiresMs = a.number("ttl", None), a.number("expires", None)
	c.MaxLength, c.MaxLengthBytes = a.number("max-length", None), a.number("max-bytes", None)
	c.Overflow = Overflow(a.choice("overflow", "drop-head", "reject-publish", "reject-publish-dlx"))
	c.MaxPriority = uint8(a.number("priorities", 0))
	c.DeliveryLimit = a.number("limit", None)
	c.DeadLetter, c.AtLeastOnce = a.has("dlx"), a.has("at-least-once")
	c.Retry = RetryKind(a.choice("retry", "disabled", "all", "failed", "returned"))
	c.RetryMinMs, c.RetryMaxMs = a.number("retry-min", 0), a.number("retry-max", 0)
	c.ConsumerTimeoutMs = a.number("timeout", None)
	c.Dedup, c.DedupSize, c.DedupTTLMs = a.has("dedup"), a.number("size", None), a.number("age", None)
	c.MaxAgeMs, c.SegmentBytes = a.number("max-age", None), a.number("segment", 0)
	return c
}

func (a args) offset() StreamOffset {
	kind := a.choice("offset", "next", "first", "last", "absolute", "time", "ago")
	return StreamOffset{Kind: OffsetKind(kind), Value: a.number("at", 0)}
}

func (a args) filters() (hashes []uint32) {
	for _, value := range strings.FieldsFunc(a.set["filters"], func(r rune) bool { return r == ',' }) {
		hashes = append(hashes, FilterHash([]byte(value)))
	}
	return hashes
}

// seen is what of its deliveries a session has written: CONSUMER:NUMBER,..
func (a args) seen() (list []Seen) {
	for _, text := range strings.FieldsFunc(a.set["seen"], func(r rune) bool { return r == ',' }) {
		var one Seen
		if _, err := fmt.Sscanf(text, "%d:%d", &one.Consumer, &one.Number); err != nil {
			a.s.t.Fatalf("%s: seen=%s is not CONSUMER:NUMBER", a.s.pos, text)
		}
		list = append(list, one)
	}
	return list
}

// add appends the command of that name to b.
func (s *script) add(b *Batch, name string, a args, input string) {
	if name == "publish" {
		s.addPublish(b, a, input)
		return
	}
	q, r := ID(a.number("q", 1)), uint32(a.number("r", 0))
	switch name {
	case "declare":
		b.Add(&Declare{Queue: q, Request: r, VHost: "/", Name: fmt.Sprint("q", q), Config: a.config()})
	case "configure":
		b.Add(&Configure{Queue: q, Config: a.config()})
	case "delete":
		r = uint32(a.number("r", 1))
		b.Add(&Delete{Queue: q, Request: r, IfUnused: a.has("if-unused"), IfEmpty: a.has("if-empty")})
	case "purge":
		b.Add(&Purge{Queue: q, Request: uint32(a.number("r", 1))})
	case "tick":
		b.Add(&Tick{})
	case "down":
		first, last := a.span("s")
		b.Add(&Down{Node: uint64(a.number("node", 1)), First: first, Last: last, Lost: a.has("lost"), Request: r})
	case "forwarded":
		from, to := a.span("n")
		b.Add(&Forwarded{Queue: q, From: from, To: to})
	default:
		s.addConsumer(b, name, a, q, r)
	}
}

// addConsumer appends a command that names a consumer.
func (s *script) addConsumer(b *Batch, name string, a args, q ID, r uint32) {
	c, ch := uint32(a.number("c", 1)), uint16(a.number("ch", 1))
	switch name {
	case "attach":
		b.Add(&Attach{
			Queue: q, Consumer: c, Request: r, Channel: ch, Prefetch: uint32(a.number("prefetch", 0)),
			Window: uint32(a.number("window", 1e6)), NoAck: a.has("no-ack"), Exclusive: a.has("exclusive"),
			Priority: a.number("priority", 0), TimeoutMs: a.number("timeout", 0), Tag: fmt.Sprint("c", c),
			From:    a.offset(),
			Filters: a.filters(), Unfiltered: a.has("unfiltered"),
		})
	case "detach":
		b.Add(&Detach{Consumer: c, Request: r})
	case "adjust":
		b.Add(&Adjust{Consumer: c, Prefetch: uint32(a.number("prefetch", 0))})
	case "leave":
		b.Add(&Leave{Channel: ch, Request: r, Seen: a.seen()})
	case "credit":
		b.Add(&Credit{Consumer: c, Bytes: uint32(a.number("bytes", 0))})
	case "get":
		c, r = uint32(a.number("c", 100)), uint32(a.number("r", 1))
		b.Add(&Get{Queue: q, Consumer: c, Request: r, Channel: ch, NoAck: a.has("no-ack")})
	case "settle":
		from, to := a.span("n")
		b.Add(&Settle{Consumer: c, From: from, To: to})
	case "return":
		from, to := a.span("n")
		b.Add(&Return{Consumer: c, From: from, To: to, Cause: a.cause()})
	case "reject":
		from, to := a.span("n")
		b.Add(&Reject{Consumer: c, From: from, To: to, Cause: a.cause()})
	default:
		s.t.Fatalf("%s: what is %q?", s.pos, name)
	}
}

func (s *script) addPublish(b *Batch, a args, input string) {
	var targets []ID
	for _, text := range strings.Split(a.set["q"], ",") {
		id, _ := strconv.Atoi(text)
		targets = append(targets, ID(max(id, 1)))
	}
	number := uint64(a.number("confirm", 0))
	publish := func(m message.Message) {
		b.Publish(uint16(a.number("ch", 1)), number, targets, &m)
		if number != 0 {
			number++
		}
	}
	for _, name := range a.names {
		publish(a.message(name))
	}
	for _, line := range strings.Split(strings.TrimSpace(input), "\n") {
		for _, name := range s.words(line).names {
			publish(s.words(line).message(name))
		}
	}
}

// message makes a message whose body says its name and is size bytes long.
func (a args) message(name string) message.Message {
	m := plain(name)
	if size := int(a.number("size", 0)); size > len(name) {
		m.Body = []byte(name + ":" + strings.Repeat("x", size-len(name)-1))
	}
	m.Props = make([]byte, a.number("properties", 2))
	m.Priority = uint8(a.number("priority", message.NoPriority))
	if a.has("persistent") {
		m.Flags |= message.FlagPersistent
	}
	if a.has("redelivered") {
		m.Flags |= message.FlagRedelivered
	}
	if a.has("ttl") {
		m.Flags |= message.FlagExpiration
		m.Expiration = uint64(a.number("ttl", 0))
	}
	if a.has("failed") || a.has("acquired") {
		m.Flags |= message.FlagCounts
		m.Deliveries, m.Acquired = uint32(a.number("failed", 0)), uint32(a.number("acquired", 0))
	}
	a.special(&m)
	return m
}

// special sets what only some queues look at.
func (a args) special(m *message.Message) {
	if a.has("delay") {
		m.Flags |= message.FlagDelay
		m.Delay = uint64(a.number("delay", 0))
	}
	if a.has("key") {
		m.Flags |= message.FlagDedup
		m.Dedup = []byte(a.set["key"])
	}
	if a.has("producer") {
		m.Flags |= message.FlagProducer
		m.Producer, m.Sequence = uint64(a.number("producer", 0)), uint64(a.number("sequence", 0))
	}
	if a.has("letter") {
		m.Flags |= message.FlagLetter
		m.Letter = message.Letter{Source: uint64(a.number("from", 9)), Number: uint64(a.number("letter", 0)), Floor: uint64(a.number("floor", 1))}
	}
	if a.has("filter") {
		m.Flags |= message.FlagFilter
		m.Filter = []byte(a.set["filter"])
	}
}
