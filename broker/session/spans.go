package session

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/broker/routing"
	"github.com/warrenmq/warren/protocol"
)

// Spans continue the trace that a message's traceparent header names, if whoever began it wants it recorded: receive, with
// route in it, when it is published; deliver when it leaves; settle from then until it is acknowledged, rejected or goes
// back. A message without the header has none. Without a Tracer all of this is one comparison.

// spansMax bounds how many deliveries of a channel are remembered until they are settled; of more, that is not told.
const spansMax = 10_000

// headers are a message's headers, as what traces are found in.
type headers struct{ protocol.RawTable }

// Get implements propagation.TextMapCarrier.
func (h headers) Get(key string) string {
	value, ok := h.Lookup(key)
	if !ok {
		return ""
	}
	text, _ := value.Bytes()
	return string(text)
}

// Set implements propagation.TextMapCarrier. A message is never changed.
func (headers) Set(string, string) {}

// Keys implements propagation.TextMapCarrier.
func (headers) Keys() []string { return nil }

// traceOf finds the trace of a message, if it is to be recorded.
func traceOf(m *message.Message) (context.Context, bool) {
	table, ok := protocol.Properties(m.Props).Headers()
	if !ok {
		return nil, false
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), headers{table})
	return ctx, trace.SpanContextFromContext(ctx).IsSampled()
}

// span begins a span of this connection.
func (s *Session) span(ctx context.Context, name string, at time.Time, more ...attribute.KeyValue) (context.Context, trace.Span) {
	return s.env.Tracer.Start(ctx, name, trace.WithTimestamp(at), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(append(more,
		attribute.String("messaging.system", "rabbitmq"), attribute.String("messaging.rabbitmq.vhost", s.vhost),
	)...))
}

func described(m *message.Message) []attribute.KeyValue {
	list := []attribute.KeyValue{
		attribute.String("messaging.rabbitmq.exchange", string(m.Exchange)), attribute.String("messaging.rabbitmq.destination.routing_key", string(m.RoutingKey)),
		attribute.Int("messaging.message.body.size", len(m.Body)),
	}
	if id, ok := protocol.Properties(m.Props).MessageID(); ok {
		list = append(list, attribute.String("messaging.message.id", string(id)))
	}
	return list
}

// spanPublished tells of a message that came in, was routed, and was handed on just now.
func (r *reader) spanPublished(route *routing.Route, m *message.Message, began, routed time.Time) {
	ctx, wanted := traceOf(m)
	if !wanted {
		return
	}
	ctx, span := r.span(ctx, "receive", began, described(m)...)
	catalog := r.catalog()
	var names []string
	for _, g := range route.Groups {
		for _, id := range g.Queues {
			if q := catalog.QueueByID(uint64(id)); q != nil {
				names = append(names, q.Name)
			}
		}
	}
	_, inner := r.span(ctx, "route", began, attribute.StringSlice("messaging.rabbitmq.queues", names))
	inner.End(trace.WithTimestamp(routed))
	span.End()
}

// spanDelivered tells of a message that is on its way to the socket, and remembers it until it is settled.
func (w *writer) spanDelivered(c *consumer, m *message.Message, tag uint64, noAck bool) {
	ctx, wanted := traceOf(m)
	if !wanted {
		return
	}
	ctx, span := w.span(ctx, "deliver", time.Now(), append(described(m), attribute.String("messaging.destination.name", c.name),
		attribute.String("messaging.consumer.id", c.tag))...)
	span.End()
	o := c.outlet
	if noAck || len(o.spans) >= spansMax {
		return
	}
	if o.spans == nil {
		o.spans = map[uint64]trace.Span{}
	}
	_, o.spans[tag] = w.span(ctx, "settle", time.Now(), attribute.String("messaging.destination.name", c.name))
}

// spanSettled tells of deliveries that the client has settled.
func (o *outlet) spanSettled(from, to uint64, method protocol.MethodID) {
	if len(o.spans) == 0 {
		return
	}
	outcome := attribute.String("messaging.rabbitmq.outcome", method.String())
	end := func(tag uint64, span trace.Span) {
		span.SetAttributes(outcome)
		span.End()
		delete(o.spans, tag)
	}
	if to-from < uint64(len(o.spans)) {
		for tag := from; tag <= to; tag++ {
			if span := o.spans[tag]; span != nil {
				end(tag, span)
			}
		}
		return
	}
	for tag, span := range o.spans {
		if tag >= from && tag <= to {
			end(tag, span)
		}
	}
}
