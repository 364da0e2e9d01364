package session

import (
	"github.com/warrenmq/warren/broker/matching"
	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/broker/routing"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

// traceExchange gets a copy of every message of a vhost that is traced.
const traceExchange = "amq.rabbitmq.trace"

// traced tells whether the writer's vhost is traced.
func (w *writer) traced() bool {
	if c := w.env.Editor.Catalog(); c != w.traceSeen {
		v := c.VHost(w.vhost)
		w.traceSeen, w.tracing = c, v != nil && v.Tracing
	}
	return w.tracing
}

// trace copies a message that was published to the trace exchange.
func (r *reader) trace(c *channel, route *routing.Route, m *message.Message) {
	catalog := r.catalog()
	queues := protocol.Array{}
	for i := range route.Groups {
		for _, id := range route.Groups[i].Queues {
			if q := catalog.QueueByID(uint64(id)); q != nil && !q.Hidden() {
				queues = append(queues, q.Name)
			}
		}
	}
	exchange := string(m.Exchange)
	if exchange == "" {
		exchange = "amq.default"
	}
	headers := append(r.traceHead(c.number, m), protocol.Field{Key: "routed_queues", Value: queues})
	copied, to := r.traceMessage(catalog, "publish."+exchange, headers, m.Body)
	if to == nil {
		return
	}
	if _, err := r.publisher.Publish(c.number, 0, to, copied); err != nil {
		r.logger.Debug().Err(err).Msg("a message was not traced")
	}
}

// trace copies a message that is delivered to the trace exchange.
func (w *writer) trace(c *consumer, redelivered bool, m *message.Message) {
	if string(m.Exchange) == traceExchange {
		return // a trace leaves no trace
	}
	flag := int32(0)
	if redelivered {
		flag = 1
	}
	headers := append(w.traceHead(c.outlet.number, m), protocol.Field{Key: "redelivered", Value: flag})
	copied, to := w.traceMessage(w.traceSeen, "deliver."+c.name, headers, m.Body)
	if to == nil {
		return
	}
	for i := range to.Groups {
		if b, err := w.door.Batch(to.Groups[i].Group); err == nil {
			b.Publish(0, 0, to.Groups[i].Queues, copied)
		}
	}
}

// traceHead is what is told of every message: where it was published, and who handles it.
func (s *Session) traceHead(channel uint16, m *message.Message) protocol.Table {
	return protocol.Table{
		{Key: "exchange_name", Value: string(m.Exchange)},
		{Key: "routing_keys", Value: protocol.Array{string(m.RoutingKey)}},
		{Key: "properties", Value: traceProperties(protocol.Properties(m.Props))},
		{Key: "node", Value: s.env.ClusterName},
		{Key: "vhost", Value: s.entered},
		{Key: "connection", Value: s.Name()},
		{Key: "channel", Value: int32(channel)},
		{Key: "user", Value: s.principal.Name()},
	}
}

// traceMessage makes the copy and finds its way; to is nil if nobody listens.
func (s *Session) traceMessage(c *topology.Catalog, key string, headers protocol.Table, body []byte) (m *message.Message, to *routing.Route) {
	v := c.VHost(s.entered)
	if v == nil || len(key) > shortstrMax {
		return nil, nil
	}
	x := v.Exchange(traceExchange)
	if x == nil || x.Unbound() {
		return nil, nil
	}
	to = routing.Find(v, x, &routing.Message{Message: matching.Message{Key: key, Headers: headers.Raw()}})
	if to.Empty() {
		return nil, nil
	}
	return &message.Message{
		Head: message.Head{Priority: message.NoPriority}, Exchange: []byte(traceExchange), RoutingKey: []byte(key),
		Props: protocol.AppendWithHeaders(nil, protocol.Properties{0, 0}, headers.Raw()), Body: body,
	}, to
}

// traceProperties are a message's properties as a table.
func traceProperties(p protocol.Properties) protocol.Table {
	l := p.Decode()
	t := protocol.Table{}
	for _, one := range []struct {
		flag  protocol.PropertyFlags
		name  string
		value any
	}{
		{protocol.FlagContentType, "content_type", l.ContentType},
		{protocol.FlagContentEncoding, "content_encoding", l.ContentEncoding},
		{protocol.FlagHeaders, "headers", l.Headers.Decode()},
		{protocol.FlagDeliveryMode, "delivery_mode", int32(l.DeliveryMode)},
		{protocol.FlagPriority, "priority", int32(l.Priority)},
		{protocol.FlagCorrelationID, "correlation_id", l.CorrelationID},
		{protocol.FlagReplyTo, "reply_to", l.ReplyTo},
		{protocol.FlagExpiration, "expiration", l.Expiration},
		{protocol.FlagMessageID, "message_id", l.MessageID},
		{protocol.FlagTimestamp, "timestamp", protocol.Timestamp(l.Timestamp)},
		{protocol.FlagType, "type", l.Type},
		{protocol.FlagUserID, "user_id", l.UserID},
		{protocol.FlagAppID, "app_id", l.AppID},
	} {
		if l.Present&one.flag != 0 {
			t = append(t, protocol.Field{Key: one.name, Value: one.value})
		}
	}
	return t
}
