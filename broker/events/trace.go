package events

import (
	"bytes"

	"github.com/warrenmq/warren/protocol"
)

// Passing is a message on its way, as the firehose shows it. Its slices are borrowed.
type Passing struct {
	VHost, User, Connection string
	Channel                 uint16
	Exchange, RoutingKey    []byte
	Properties              protocol.Properties
	Body                    []byte
}

// Traced tells whether messages of a vhost are to be shown.
func (a *Announcer) Traced(vhost string) bool {
	if a == nil {
		return false
	}
	v := a.Catalog().VHost(vhost)
	return v != nil && v.Tracing
}

// Published shows a message that came in, and the queues it goes to.
func (a *Announcer) Published(p *Passing, queues []string) {
	if string(p.Exchange) == traceExchange || !a.heard(p.VHost, traceExchange) {
		return
	}
	routed := make(protocol.Array, len(queues))
	for i, name := range queues {
		routed[i] = name
	}
	a.trace(p, "publish."+string(p.Exchange), protocol.Field{Key: "routed_queues", Value: routed})
}

// Delivered shows a message that goes out.
func (a *Announcer) Delivered(p *Passing, queue string, redelivered bool) {
	if string(p.Exchange) == traceExchange || !a.heard(p.VHost, traceExchange) {
		return
	}
	again := int32(0)
	if redelivered {
		again = 1
	}
	a.trace(p, "deliver."+queue, protocol.Field{Key: "redelivered", Value: again})
}

// trace waits until the announcement is taken.
func (a *Announcer) trace(p *Passing, key string, more protocol.Field) {
	list := protocol.PropertyList{Present: protocol.FlagHeaders, Headers: protocol.Table{
		{Key: "exchange_name", Value: string(p.Exchange)},
		{Key: "routing_keys", Value: keys(p)},
		{Key: "properties", Value: properties(p.Properties)},
		{Key: "node", Value: a.Name},
		{Key: "vhost", Value: p.VHost},
		{Key: "connection", Value: p.Connection},
		{Key: "channel", Value: int32(p.Channel)},
		{Key: "user", Value: p.User},
		more,
	}.Raw()}
	one := announcement{vhost: p.VHost, exchange: traceExchange, key: key, props: list.Append(nil), body: p.Body}
	if a.room.Acquire(a.ctx, one.size()) != nil {
		return // closed
	}
	one.body = bytes.Clone(p.Body)
	select {
	case a.said <- one:
	case <-a.ctx.Done():
	}
}

// keys are all routing keys of a message: its own, CC and BCC.
func keys(p *Passing) protocol.Array {
	all := protocol.Array{string(p.RoutingKey)}
	headers, ok := p.Properties.Headers()
	if !ok {
		return all
	}
	for _, name := range []string{"CC", "BCC"} {
		if value, given := headers.Lookup(name); given {
			list, _ := value.Array()
			for element := range list.Each {
				if text, ok := element.Bytes(); ok && element.Tag == 'S' {
					all = append(all, string(text))
				}
			}
		}
	}
	return all
}

// properties are those of a message as a table.
func properties(p protocol.Properties) protocol.Table {
	list := p.Decode()
	t := protocol.Table{}
	for _, one := range []struct {
		flag  protocol.PropertyFlags
		name  string
		value any
	}{
		{protocol.FlagContentType, "content_type", list.ContentType},
		{protocol.FlagContentEncoding, "content_encoding", list.ContentEncoding},
		{protocol.FlagHeaders, "headers", list.Headers.Decode()},
		{protocol.FlagDeliveryMode, "delivery_mode", int32(list.DeliveryMode)},
		{protocol.FlagPriority, "priority", int32(list.Priority)},
		{protocol.FlagCorrelationID, "correlation_id", list.CorrelationID},
		{protocol.FlagReplyTo, "reply_to", list.ReplyTo},
		{protocol.FlagExpiration, "expiration", list.Expiration},
		{protocol.FlagMessageID, "message_id", list.MessageID},
		{protocol.FlagTimestamp, "timestamp", int64(list.Timestamp)},
		{protocol.FlagType, "type", list.Type},
		{protocol.FlagUserID, "user_id", list.UserID},
		{protocol.FlagAppID, "app_id", list.AppID},
		{protocol.FlagClusterID, "cluster_id", list.ClusterID},
	} {
		if list.Present&one.flag != 0 {
			t = append(t, protocol.Field{Key: one.name, Value: one.value})
		}
	}
	return t
}
