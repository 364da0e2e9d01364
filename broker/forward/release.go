package forward

import (
	"errors"

	"github.com/warrenmq/warren/broker/dispatch"
	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/matching"
	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/routing"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/store/oplog"
)

// release publishes what the memory of an exchange has let go to the exchange's bindings. A delay is turned negative, so
// that no other exchange delays the message again.
func (f *Forwarder) release(c *topology.Catalog, from *queue.Origin, m *message.Message, number uint64) letter {
	m.Flags &^= message.FlagDelay | message.FlagProducer | message.FlagLetter
	m.Props = spent(m.Props)
	v := c.VHost(from.VHost)
	if v == nil {
		return letter{}
	}
	x := v.Exchange(from.Config.RelayExchange)
	if x == nil {
		return letter{}
	}
	route := find(v, x, m, x.Name)
	return f.propose(route, m, from, number, letter{})
}

// find routes a message as it is. released is the exchange that does not hold it again.
func find(v *topology.VHost, x *topology.Exchange, m *message.Message, released string) *routing.Route {
	want := routing.Message{
		Message:  matching.Message{Key: string(m.RoutingKey), Properties: protocol.Properties(m.Props)},
		More:     append(publicKeys(m)[1:], m.HiddenKeys()...),
		Released: released,
	}
	want.Headers, _ = want.Properties.Headers()
	return routing.Find(v, x, &want)
}

// spent gives the properties with their x-delay turned negative.
func spent(props []byte) []byte {
	properties := protocol.Properties(props)
	headers, ok := properties.Headers()
	if !ok {
		return props
	}
	ms, delayed := routing.Delay(headers)
	if !delayed {
		return props
	}
	return protocol.AppendWithHeaders(nil, properties, set(headers.Decode(), "x-delay", -int64(ms)).Raw())
}

// Replay gives the destination of a new binding the messages that its exchange remembers. g holds them.
func Replay(env *Env, g *group.Group, x *topology.Exchange, e *topology.Edge) {
	err := g.Do(func(s *queue.Set) {
		if !g.Leading() {
			return
		}
		s.Ready(queue.ID(x.Memory.ID), func(span oplog.Span) bool {
			data, err := g.Read(span)
			var m message.Message
			if err == nil {
				err = message.Parse(data, &m)
			}
			if err != nil {
				env.Logger.Error().Err(err).Str("exchange", x.Name).Msg("a remembered message cannot be read")
				return false
			}
			env.deliver(e, &m)
			return true
		})
	})
	if err != nil {
		env.Logger.Debug().Err(err).Str("exchange", x.Name).Msg("nothing is replayed")
	}
}

// deliver gives one message to the destination of a binding.
func (env *Env) deliver(e *topology.Edge, m *message.Message) {
	m.Flags &^= message.FlagProducer | message.FlagLetter
	v := env.Catalog().VHost(e.VHost)
	if v == nil {
		return
	}
	route := &routing.Route{}
	if e.ToExchange {
		if x := v.Exchange(e.Destination); x != nil {
			route = find(v, x, m, "")
		}
	} else if q := v.Queue(e.Destination); q != nil {
		route.Groups = []routing.GroupQueues{{Group: q.Group, Queues: []queue.ID{queue.ID(q.ID)}}}
	}
	for _, to := range route.Groups {
		var b queue.Batch
		b.Publish(0, 0, to.Queues, m)
		handle, err := env.Groups.Handle(to.Group)
		if err == nil {
			err = handle.Propose(oplog.Batch{Data: b.Bytes()})
		}
		if err != nil && !errors.Is(err, dispatch.ErrRefused) { // which is counted
			env.Logger.Warn().Err(err).Str("destination", e.Destination).Msg("a remembered message was not taken")
		}
	}
}
