package session

import (
	"context"
	"net"
	"strconv"
	"strings"

	"github.com/warrenmq/warren/broker/events"
	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/broker/routing"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

// What happens to a connection is told as RabbitMQ's event exchange tells it.

func field(key string, value any) protocol.Field { return protocol.Field{Key: key, Value: value} }

// acting gives the context of what the user of the connection does.
func (s *Session) acting() context.Context {
	return topology.By(context.Background(), s.principal.Name())
}

// tell says that something happened to the connection, unless it comes from within the broker.
func (s *Session) tell(name, user string, fields func() protocol.Table) {
	if !s.local {
		s.env.Events.Tell(name, user, fields)
	}
}

// address is a peer's, or this side's, as events write it: an Erlang tuple, and the port.
func address(a net.Addr) (host string, port int64) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return a.String(), 0
	}
	if v4 := tcp.IP.To4(); v4 != nil {
		return "{" + strings.ReplaceAll(v4.String(), ".", ",") + "}", int64(tcp.Port)
	}
	return tcp.IP.String(), int64(tcp.Port)
}

// wire is what events say of the socket.
func (s *Session) wire() protocol.Table {
	host, _ := address(s.conn.LocalAddr())
	peer, port := address(s.conn.RemoteAddr())
	return protocol.Table{
		field("host", host), field("peer_host", peer), field("peer_port", port), field("protocol", "{0,9,1}"),
		field("auth_mechanism", s.mechanism), field("ssl", s.secure() != nil),
	}
}

// tellLogin says how a login ended.
func (s *Session) tellLogin(err error) {
	name := "user.authentication.success"
	if err != nil {
		name = "user.authentication.failure"
	}
	s.tell(name, "", func() protocol.Table {
		t := append(s.wire(), field("name", s.principal.Name()), field("connection_name", s.name), field("connection_type", "network"))
		if err != nil {
			t = append(t, field("error", "user '"+s.principal.Name()+"' - "+err.Error()))
		}
		return t
	})
}

// channelName is how a channel is called.
func (s *Session) channelName(number uint16) string {
	return s.name + " (" + strconv.Itoa(int(number)) + ")"
}

func (s *Session) tellOpened() {
	s.tell("connection.created", "", func() protocol.Table {
		return append(s.wire(), field("name", s.name), field("pid", s.name), field("node", s.env.Events.Name), field("type", "network"),
			field("user", s.principal.Name()), field("vhost", s.vhost), field("frame_max", int64(s.frameMax)),
			field("channel_max", int64(s.channelMax)), field("connected_at", s.began.UnixMilli()), field("client_properties", topology.Terms(s.client.table)))
	})
}

func (s *Session) tellClosed() {
	s.tell("connection.closed", "", func() protocol.Table {
		return protocol.Table{
			field("name", s.name), field("pid", s.name), field("node", s.env.Events.Name), field("client_properties", topology.Terms(s.client.table)),
		}
	})
}

func (s *Session) tellChannel(event string, number uint16) {
	user := s.principal.Name()
	s.tell(event, user, func() protocol.Table {
		return protocol.Table{
			field("name", s.channelName(number)), field("pid", s.channelName(number)), field("number", int64(number)),
			field("connection", s.name), field("user", user), field("vhost", s.vhost),
		}
	})
}

func (w *writer) tellConsumer(c *consumer, wish *consumerWish) {
	w.tell("consumer.created", w.principal.Name(), func() protocol.Table {
		return protocol.Table{
			field("consumer_tag", c.tag), field("queue", c.name), field("vhost", w.vhost), field("channel", w.channelName(c.outlet.number)),
			field("ack_required", !c.noAck), field("exclusive", wish.Exclusive), field("prefetch_count", int64(c.prefetch)),
			field("arguments", topology.Terms(wish.Arguments.Decode())),
		}
	})
}

func (w *writer) tellConsumerGone(c *consumer) {
	w.tell("consumer.deleted", w.principal.Name(), func() protocol.Table {
		return protocol.Table{
			field("consumer_tag", c.tag), field("queue", c.name), field("vhost", w.vhost), field("channel", w.channelName(c.outlet.number)),
		}
	})
}

// passing is a message of this connection as the firehose shows it.
func (s *Session) passing(channel uint16, m *message.Message) *events.Passing {
	return &events.Passing{
		VHost: s.vhost, User: s.principal.Name(), Connection: s.name, Channel: channel, Exchange: m.Exchange, RoutingKey: m.RoutingKey,
		Properties: m.Props, Body: m.Body,
	}
}

// traced tells whether messages of the vhost are to be shown.
func (w *writer) traced() bool {
	if c := w.env.Editor.Catalog(); c != w.seen {
		w.seen, w.tracing = c, w.env.Events.Traced(w.vhost)
	}
	return w.tracing
}

// tracePublished shows a message that came in.
func (r *reader) tracePublished(c *channel, route *routing.Route, m *message.Message) {
	catalog := r.catalog()
	var names []string
	for _, g := range route.Groups {
		for _, id := range g.Queues {
			if q := catalog.QueueByID(uint64(id)); q != nil {
				names = append(names, q.Name)
			}
		}
	}
	r.env.Events.Published(r.passing(c.number, m), names)
}
