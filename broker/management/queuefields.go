package management

import (
	"context"
	"slices"
	"strings"

	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/stats"
	"github.com/warrenmq/warren/broker/topology"
)

// plainFields are the fields of a queue that its declaration and its policies give. They, and the counters below, are named
// once: objects are made of them, and lists are sorted by them without making objects.
var plainFields = []struct {
	name string
	of   func(q *topology.Queue) any
}{
	{"name", func(q *topology.Queue) any { return q.Name }},
	{"vhost", func(q *topology.Queue) any { return q.VHost }},
	{"type", func(q *topology.Queue) any { return q.Type }},
	{"durable", func(q *topology.Queue) any { return q.Durable }},
	{"auto_delete", func(q *topology.Queue) any { return q.AutoDelete }},
	{"exclusive", func(q *topology.Queue) any { return q.Exclusive }},
	{"policy", func(q *topology.Queue) any { return policyName(q.Policy) }},
	{"operator_policy", func(q *topology.Queue) any { return policyName(q.Operator) }},
	{"effective_policy_definition", func(q *topology.Queue) any { return effectivePolicy(q.Policy, q.Operator) }},
	{"arguments", func(q *topology.Queue) any { return tableObject(q.Table) }},
}

// queueCounter is a field whose number the machine of a queue knows.
type queueCounter struct {
	name string
	of   counter
}

// counter makes a number of what a machine knows.
type counter func(q *topology.Queue, i *queue.Info) any

// countFields is how many of the counters a list without statistics shows.
const countFields = 3

// queueCounters are those that every queue has.
var queueCounters = []queueCounter{
	{"messages_ready", func(_ *topology.Queue, i *queue.Info) any { return i.Ready }},
	{"messages_unacknowledged", func(_ *topology.Queue, i *queue.Info) any { return i.Unacked }},
	{"messages", allMessages},
	{"consumers", func(_ *topology.Queue, i *queue.Info) any { return i.Consumers }},
	{"memory", func(_ *topology.Queue, i *queue.Info) any { return i.MemoryBytes() }},
}

// octetCounters are those that streams do not have.
var octetCounters = []queueCounter{
	{"message_bytes", allBytes},
	{"message_bytes_ready", func(_ *topology.Queue, i *queue.Info) any { return i.ReadyBytes }},
	{"message_bytes_unacknowledged", func(_ *topology.Queue, i *queue.Info) any { return i.UnackedBytes }},
	{"messages_ram", allMessages},
	{"message_bytes_ram", allBytes},
	{"messages_persistent", ifDurable(allMessages)},
	{"message_bytes_persistent", ifDurable(allBytes)},
	{"consumer_capacity", capacity},
	{"consumer_utilisation", capacity},
}

// delayedField is how many messages a queue holds back.
const delayedField = "messages_delayed"

func delayedMessages(_ *topology.Queue, i *queue.Info) any { return i.Delayed }

func allMessages(_ *topology.Queue, i *queue.Info) any { return i.Ready + i.Unacked }

func allBytes(_ *topology.Queue, i *queue.Info) any { return i.ReadyBytes + i.UnackedBytes }

// capacity is what share of the consumers has room for a message.
func capacity(_ *topology.Queue, i *queue.Info) any {
	switch {
	case i.Consumers == 0:
		return share(0)
	case i.Open > 0 && i.Ready == 0:
		return share(1)
	}
	return share(float64(i.Open) / float64(i.Consumers))
}

func ifDurable(of counter) counter {
	return func(q *topology.Queue, i *queue.Info) any {
		if !q.Durable {
			return 0
		}
		return of(q, i)
	}
}

// queueKeys gives a field of each queue without making an object of it; ok is false if that cannot be done. The queues must
// be shown with their statistics.
func (s *Server) queueKeys(ctx context.Context, queues []*topology.Queue, field []string) (c column, ok bool) {
	for _, plain := range plainFields {
		if plain.name == field[0] {
			return keysOf(queues, func(q *topology.Queue) any { return dig(plain.of(q), field[1:]) }), true
		}
	}
	if len(field) == 1 {
		damage, places := s.damage(), s.places()
		switch field[0] {
		case "state":
			return keysOf(queues, func(q *topology.Queue) any { return stateOf(q, damage, places(q.Group)) }), true
		case "node":
			return keysOf(queues, func(q *topology.Queue) any { return places(q.Group).at() }), true
		}
	}
	if rates := rateFields(field); rates != nil {
		c := s.rateColumn(queues, rates)
		for _, said := range askRates.everywhere(ctx, s, rates) {
			for i, q := range queues {
				if rate, led := said[q.ID]; led {
					c.numbers[i] = rate
				}
			}
		}
		return c, true
	}
	if count := counterOf(field); count != nil {
		return s.counterColumn(ctx, queues, strings.Join(field, "."), count), true
	}
	return column{}, false
}

func keysOf(queues []*topology.Queue, of func(*topology.Queue) any) column {
	keys := make([]sortKey, len(queues))
	for i, q := range queues {
		keys[i] = makeSortKey(of(q))
	}
	return column{keys: keys}
}

// rateColumn adds up rates of each queue.
func (s *Server) rateColumn(queues []*topology.Queue, rates []int) column {
	c := column{numbers: make([]float64, len(queues))}
	s.sampler.queues.Read(func(view func(uint64) stats.View) {
		for i, q := range queues {
			v := view(q.ID)
			for _, at := range rates {
				c.numbers[i] += v.Rate(at)
			}
		}
	})
	return c
}

const (
	messageStatsField = "message_stats"
	deliverGetField   = "deliver_get"
	detailsSuffix     = "_details"
)

// rateFields gives where the numbers stand in a sample whose rates a field is the sum of; nil if it is no rate.
func rateFields(field []string) (numbers []int) {
	last := len(field) - 1
	if last < 1 || field[last] != "rate" {
		return nil
	}
	name, isDetails := strings.CutSuffix(field[last-1], detailsSuffix)
	switch {
	case !isDetails:
	case last == 1:
		if at := slices.Index(lengthNames[:], name); at >= 0 {
			numbers = append(numbers, at)
		}
	case last == 2 && field[0] == messageStatsField:
		for _, k := range kindsOf(name) {
			numbers = append(numbers, lengths+int(k))
		}
	}
	return numbers
}

// kindsOf gives what a field of a queue's message_stats adds up.
func kindsOf(name string) []stats.Kind {
	if name == deliverGetField {
		return handed
	}
	for _, k := range append([]stats.Kind{stats.Publish}, delivered...) {
		if k.String() == name {
			return []stats.Kind{k}
		}
	}
	return nil
}

// counterOf gives the counter that a field is, nil if it is none.
func counterOf(field []string) counter {
	if len(field) == 2 && field[0] == messageStatsField {
		kinds := kindsOf(field[1])
		if kinds == nil {
			return nil
		}
		return func(_ *topology.Queue, i *queue.Info) any {
			counts, sum := queueCounts(&i.Stats), uint64(0)
			for _, k := range kinds {
				sum += counts[k]
			}
			return sum
		}
	}
	if len(field) != 1 {
		return nil
	}
	if field[0] == delayedField {
		return delayedMessages
	}
	for _, c := range queueCounters {
		if c.name == field[0] {
			return c.of
		}
	}
	for _, c := range octetCounters {
		if c.name == field[0] {
			return func(q *topology.Queue, i *queue.Info) any {
				if q.Type == "stream" {
					return 0
				}
				return c.of(q, i)
			}
		}
	}
	return nil
}
