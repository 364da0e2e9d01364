package forward

import (
	"errors"
	"slices"

	"github.com/warrenmq/warren/broker/dispatch"
	"github.com/warrenmq/warren/broker/matching"
	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/routing"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/store/oplog"
)

// publish rewrites a dead letter, routes it, and proposes it to every group on its route.
func (f *Forwarder) publish(from *queue.Origin, l *fetched) letter {
	sent := letter{keep: from.Config.AtLeastOnce}
	var m message.Message
	if err := message.Parse(l.data, &m); err != nil {
		f.env.Logger.Error().Err(err).Str("queue", from.Name).Msg("a dead letter cannot be read")
		return sent
	}
	c := f.env.Catalog()
	if l.Reason == queue.Due {
		return f.release(c, from, &m, l.Number)
	}
	d := death{
		queue: from.Name, reason: l.Reason, exchange: string(m.Exchange), keys: publicKeys(&m),
		time: uint64(f.env.Clock() / 1000),
	}
	deaths, props := d.record(&m)
	route := f.route(c, from, &m, props)
	if l.Reason != queue.Rejected {
		route = withoutCycles(c, route, deaths)
	}
	key := m.RoutingKey
	if from.Config.DeadLetterKeySet {
		key = []byte(from.Config.DeadLetterKey)
	}
	replied := from.Config.DeadLetterExchange == "" && f.env.Reply(&message.Message{RoutingKey: key, Props: props, Body: m.Body})
	if route.Empty() {
		sent.refused = !replied // which counts only for a letter that has to arrive
		return sent
	}
	copied := message.Message{
		Head: message.Head{
			Flags: m.Flags&message.FlagPersistent | message.FlagCounts, Priority: m.Priority, Deliveries: l.Deliveries,
			Acquired: l.Acquired,
		},
		Exchange: []byte(from.Config.DeadLetterExchange), RoutingKey: key, Props: props, Body: m.Body,
	}
	if l.Flagged {
		copied.Flags |= message.FlagRedelivered
	}
	if len(m.Hidden) > 0 && !from.Config.DeadLetterKeySet {
		copied.Flags |= message.FlagHidden
		copied.Hidden = m.Hidden
	}
	return f.propose(route, &copied, from, l.Number, sent)
}

// propose hands a letter to every group on its route, each in a batch of its own.
func (f *Forwarder) propose(route *routing.Route, m *message.Message, from *queue.Origin, number uint64, sent letter) letter {
	m.Flags |= message.FlagLetter
	m.Letter = message.Letter{Source: uint64(from.ID), Number: number, Floor: from.Floor}
	f.number++
	origin := oplog.Origin{Node: Node, Session: uint64(from.ID), Seq: f.number}
	for i := range route.Groups {
		g := &route.Groups[i]
		var b queue.Batch
		b.Publish(0, number, g.Queues, m)
		to, err := f.env.Groups.Handle(g.Group)
		if err == nil {
			err = to.Propose(oplog.Batch{From: origin, Data: b.Bytes()})
		}
		if errors.Is(err, dispatch.ErrRefused) { // which passes: it stays where it is until then
			sent.refused, sent.keep = true, true
			continue
		}
		if err != nil {
			f.env.Logger.Warn().Err(err).Uint64("group", g.Group).Msg("a dead letter was not taken")
			sent.refused = true
			continue
		}
		if share := min(to.Share(), dispatch.Window); sent.answers == 0 || share < sent.share {
			sent.share = share
		}
		sent.answers++
	}
	return sent
}

// route finds where a dead letter goes: the dead-letter exchange, by the key it is given or else by all keys it was
// published with.
func (f *Forwarder) route(c *topology.Catalog, from *queue.Origin, m *message.Message, props []byte) *routing.Route {
	v := c.VHost(from.VHost)
	if v == nil {
		return &routing.Route{}
	}
	x := v.Exchange(from.Config.DeadLetterExchange)
	if x == nil {
		return &routing.Route{}
	}
	want := routing.Message{Message: matching.Message{Key: string(m.RoutingKey), Properties: props}}
	want.Headers, _ = protocol.Properties(props).Headers()
	if from.Config.DeadLetterKeySet {
		want.Key = from.Config.DeadLetterKey
	} else {
		want.More = append(publicKeys(m)[1:], m.HiddenKeys()...)
	}
	return routing.Find(v, x, &want)
}

// publicKeys are the routing keys that everybody may see: the message's own and CC.
func publicKeys(m *message.Message) []string {
	keys := []string{string(m.RoutingKey)}
	headers, ok := protocol.Properties(m.Props).Headers()
	if !ok {
		return keys
	}
	value, ok := headers.Lookup("CC")
	if !ok {
		return keys
	}
	list, _ := value.Array()
	for element := range list.Each {
		if element.Tag == 'S' {
			key, _ := element.Bytes()
			keys = append(keys, string(key))
		}
	}
	return keys
}

// withoutCycles takes the queues off a route to which the message would return without anybody having rejected it on the
// way.
func withoutCycles(c *topology.Catalog, route *routing.Route, deaths protocol.Array) *routing.Route {
	cycle := map[string]bool{}
	for _, value := range deaths {
		entry, _ := value.(protocol.Table)
		if reason, _ := entry.Get("reason"); reason == queue.Rejected.String() {
			break
		}
		if name, ok := entry.Get("queue"); ok {
			text, _ := name.(string)
			cycle[text] = true
		}
	}
	kept := &routing.Route{}
	for _, g := range route.Groups {
		g.Queues = slices.DeleteFunc(slices.Clone(g.Queues), func(id queue.ID) bool {
			q := c.QueueByID(uint64(id))
			return q != nil && cycle[q.Name]
		})
		if len(g.Queues) > 0 {
			kept.Groups = append(kept.Groups, g)
		}
	}
	return kept
}
