package broker_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/warrenmq/warren/protocol"
)

func TestAsManyChannelsAsAgreed(t *testing.T) {
	b := start(t)
	c := connect(t, b)
	var out []byte
	for n := range 2047 {
		out = protocol.AppendMethodFrame(out, uint16(65535-n), &protocol.ChannelOpen{}) // only their count is limited
	}
	c.write(out)
	for n := range 2047 {
		expect[*protocol.ChannelOpenOk](c, uint16(65535-n))
	}
	q := c.queue(65535, protocol.QueueDeclare{Exclusive: true}).Queue
	out = out[:0]
	for n := range 2047 {
		out = c.appendPublish(out, uint16(65535-n), message{key: q, body: fmt.Sprint(n)})
	}
	c.write(out)
	eventually(t, "every channel has published", func() bool { ready, _ := c.count(65535, q); return ready == 2047 })
	c.send(1, &protocol.ChannelOpen{})
	c.wantClose(0, protocol.CodeNotAllowed, "NOT_ALLOWED - number of channels opened (2047) has reached the negotiated channel_max (2047)")
	c.wantEnd()

	how := guest
	how.channelMax = 2
	c = connectAs(t, b, how)
	c.channel(1)
	c.channel(2)
	c.send(1, &protocol.ChannelClose{})
	expect[*protocol.ChannelCloseOk](c, 1)
	c.channel(3)
	c.send(1, &protocol.ChannelOpen{})
	c.wantClose(0, protocol.CodeNotAllowed, "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)")
}

// TestChannelErrors: the channel is closed with code, text and method, what comes on it later is ignored, others go on,
// and the number is free again after close-ok.
func TestChannelErrors(t *testing.T) {
	b := start(t)
	c := connect(t, b)
	c.channel(9)
	c.queue(9, protocol.QueueDeclare{Queue: "q"})
	c.queue(9, protocol.QueueDeclare{Queue: "quorum", Durable: true, Arguments: protocol.Table{{Key: "x-queue-type", Value: "quorum"}}.Raw()})
	for _, e := range []struct {
		m    protocol.Method
		code uint16
		text string
	}{
		{&protocol.QueueDeclare{Queue: "missing", Passive: true}, 404, "NOT_FOUND - no queue 'missing' in vhost '/'"},
		{&protocol.ExchangeDeclare{Exchange: "missing", Passive: true}, 404, "NOT_FOUND - no exchange 'missing' in vhost '/'"},
		{&protocol.ExchangeDeclare{Exchange: "x", Type: "nonsense"}, 406, "PRECONDITION_FAILED - unknown exchange type 'nonsense'"},
		{&protocol.ExchangeDeclare{Exchange: "", Type: "direct"}, 403, "ACCESS_REFUSED - operation not permitted on the default exchange"},
		{&protocol.ExchangeDelete{Exchange: "amq.topic"}, 403, "ACCESS_REFUSED - deletion of system exchange 'amq.topic' in vhost '/' not allowed"},
		{&protocol.QueueDeclare{Queue: "amq.q"}, 403, "ACCESS_REFUSED - queue name 'amq.q' contains reserved prefix 'amq.*'"},
		{&protocol.QueueDeclare{Queue: "q", Durable: true}, 406, "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'"},
		{&protocol.QueueBind{Queue: "q", Exchange: "missing"}, 404, "NOT_FOUND - no exchange 'missing' in vhost '/'"},
		{&protocol.QueueBind{Queue: "missing", Exchange: "amq.topic"}, 404, "NOT_FOUND - no queue 'missing' in vhost '/'"},
		{&protocol.QueueBind{Exchange: "amq.topic"}, 404, "NOT_FOUND - no previously declared queue"},
		{&protocol.QueuePurge{Queue: "missing"}, 404, "NOT_FOUND - no queue 'missing' in vhost '/'"},
		{&protocol.QueuePurge{}, 404, "NOT_FOUND - no previously declared queue"},
		{&protocol.QueueDelete{}, 404, "NOT_FOUND - no previously declared queue"},
		{&protocol.BasicConsume{Queue: "missing"}, 404, "NOT_FOUND - no queue 'missing' in vhost '/'"},
		{&protocol.BasicConsume{}, 404, "NOT_FOUND - no previously declared queue"},
		{&protocol.BasicConsume{Queue: "q", Arguments: protocol.Table{{Key: "x-priority", Value: "high"}}.Raw()}, 406,
			"PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'q' in vhost '/': \"expected integer, got longstr\""},
		{&protocol.BasicConsume{Queue: "q", Arguments: protocol.Table{{Key: "x-stream-offset", Value: "first"}}.Raw()}, 406,
			"PRECONDITION_FAILED - invalid arg 'x-stream-offset' for queue 'q' in vhost '/' of queue type rabbit_classic_queue"},
		{&protocol.BasicGet{Queue: "missing"}, 404, "NOT_FOUND - no queue 'missing' in vhost '/'"},
		{&protocol.BasicAck{DeliveryTag: 1}, 406, "PRECONDITION_FAILED - unknown delivery tag 1"},
		{&protocol.BasicAck{DeliveryTag: 0}, 406, "PRECONDITION_FAILED - unknown delivery tag 0"},
		{&protocol.BasicAck{DeliveryTag: 7, Multiple: true}, 406, "PRECONDITION_FAILED - unknown delivery tag 7"},
		{&protocol.BasicAck{DeliveryTag: 1<<64 - 1, Multiple: true}, 406, "PRECONDITION_FAILED - unknown delivery tag 18446744073709551615"},
		{&protocol.BasicAck{DeliveryTag: 1<<64 - 1}, 406, "PRECONDITION_FAILED - unknown delivery tag 18446744073709551615"},
		{&protocol.BasicNack{DeliveryTag: 1, Requeue: true}, 406, "PRECONDITION_FAILED - unknown delivery tag 1"},
		{&protocol.BasicReject{DeliveryTag: 1}, 406, "PRECONDITION_FAILED - unknown delivery tag 1"},
		{&protocol.TxCommit{}, 406, "PRECONDITION_FAILED - channel is not transactional"},
		{&protocol.TxRollback{}, 406, "PRECONDITION_FAILED - channel is not transactional"},
	} {
		c.channel(1)
		c.send(1, e.m, e.m, &protocol.BasicQos{}, e.m) // all but the first are ignored
		m := expect[*protocol.ChannelClose](c, 1)
		if m.ReplyCode != e.code || m.ReplyText != e.text || m.ClassID != e.m.ID().Class() || m.MethodID != e.m.ID().Method() {
			t.Errorf("%T: got %+v, want %d %s", e.m, m, e.code, e.text)
		}
		c.quiet(9)
		c.send(1, &protocol.ChannelCloseOk{})
	}
}

func TestConnectionErrors(t *testing.T) {
	b := start(t)
	for _, e := range []struct {
		m    protocol.Method
		code uint16
		text string
	}{
		{&protocol.ChannelOpen{}, 504, "CHANNEL_ERROR - second 'channel.open' seen"},
		{&protocol.ChannelFlow{}, 540, "NOT_IMPLEMENTED - active=false"},
		{&protocol.ChannelFlowOk{}, 503, "COMMAND_INVALID - unimplemented method"},
		{&protocol.ChannelCloseOk{}, 503, "COMMAND_INVALID - unimplemented method"},
		{&protocol.BasicQosOk{}, 503, "COMMAND_INVALID - unimplemented method"},
		{&protocol.BasicDeliver{}, 503, "COMMAND_INVALID - unimplemented method"},
		{&protocol.BasicQos{PrefetchSize: 5}, 540, "NOT_IMPLEMENTED - prefetch_size!=0 (5)"},
		{&protocol.BasicRecover{}, 540, "NOT_IMPLEMENTED - requeue=false"},
		{&protocol.BasicRecoverAsync{}, 540, "NOT_IMPLEMENTED - requeue=false"},
		{&protocol.BasicConsume{Queue: "q", ConsumerTag: "twice"}, 530, "NOT_ALLOWED - attempt to reuse consumer tag 'twice'"},
	} {
		c := connect(t, b)
		c.channel(1)
		c.channel(2)
		c.queue(1, protocol.QueueDeclare{Queue: "q"})
		c.send(1, &protocol.BasicConsume{Queue: "q", ConsumerTag: "twice"})
		expect[*protocol.BasicConsumeOk](c, 1)
		c.send(1, e.m)
		m := expect[*protocol.ConnectionClose](c, 0)
		if m.ReplyCode != e.code || m.ReplyText != e.text || m.ClassID != e.m.ID().Class() || m.MethodID != e.m.ID().Method() {
			t.Errorf("%T: got %+v, want %d %s", e.m, m, e.code, e.text)
		}
		c.send(2, &protocol.BasicQos{}) // ignored
		c.send(0, &protocol.ConnectionCloseOk{})
		if said := c.wantEnd(); len(said) > 0 {
			t.Errorf("%T: %T came behind connection.close", e.m, said[0])
		}
	}
	c := connect(t, b)
	c.channel(1)
	c.write(protocol.AppendContent(protocol.AppendMethodFrame(nil, 1, &protocol.BasicPublish{Immediate: true}), 1, nil, nil, 8192))
	c.wantClose(0, protocol.CodeNotImplemented, "NOT_IMPLEMENTED - immediate=true")
}

// TestPublishErrors: publishes behind the one that is refused are dropped, and none of them is confirmed.
func TestPublishErrors(t *testing.T) {
	b := start(t)
	c := connect(t, b)
	c.channel(9)
	q := c.queue(9, protocol.QueueDeclare{Exclusive: true}).Queue
	c.send(9, &protocol.ExchangeDeclare{Exchange: "internal", Type: "fanout", Internal: true})
	expect[*protocol.ExchangeDeclareOk](c, 9)
	header := func(key string, value any) protocol.PropertyList {
		return protocol.PropertyList{Present: protocol.FlagHeaders, Headers: protocol.Table{{Key: key, Value: value}}.Raw()}
	}
	expires := func(s string) protocol.PropertyList {
		return protocol.PropertyList{Present: protocol.FlagExpiration, Expiration: s}
	}
	for _, e := range []struct {
		m    message
		code uint16
		text string
	}{
		{message{exchange: "missing"}, 404, "NOT_FOUND - no exchange 'missing' in vhost '/'"},
		{message{exchange: "internal"}, 403, "ACCESS_REFUSED - cannot publish to internal exchange 'internal' in vhost '/'"},
		{message{properties: expires("abc")}, 406, "PRECONDITION_FAILED - invalid expiration 'abc': no_integer"},
		{message{properties: expires("")}, 406, "PRECONDITION_FAILED - invalid expiration '': no_integer"},
		{message{properties: expires(" 10")}, 406, "PRECONDITION_FAILED - invalid expiration ' 10': no_integer"},
		{message{properties: expires("10x")}, 406, `PRECONDITION_FAILED - invalid expiration '10x': {leftover_string,"x"}`},
		{message{properties: expires("1.5")}, 406, `PRECONDITION_FAILED - invalid expiration '1.5': {leftover_string,".5"}`},
		{message{properties: expires("-1")}, 406, "PRECONDITION_FAILED - invalid expiration '-1': {value_negative,-1}"},
		{message{properties: expires("315360000001")}, 406, "PRECONDITION_FAILED - invalid expiration '315360000001': {value_too_large,315360000001}"},
		{message{properties: expires(strings.Repeat("9", 50))}, 406, "PRECONDITION_FAILED - invalid expiration '" + strings.Repeat("9", 50) + "': {value_too_large,\n" + strings.Repeat(" ", 74) + strings.Repeat("9", 50) + "}"},
		{message{properties: header("CC", "a")}, 406, `PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"CC",longstr}`},
		{message{properties: header("BCC", int32(1))}, 406, `PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"BCC",signedint}`},
		{message{properties: protocol.PropertyList{Present: protocol.FlagUserID, UserID: "bob"}}, 406,
			"PRECONDITION_FAILED - user_id property set to 'bob' but authenticated user was 'guest'"},
		{message{properties: protocol.PropertyList{Present: protocol.FlagUserID}}, 406,
			"PRECONDITION_FAILED - user_id property set to '' but authenticated user was 'guest'"},
		{message{properties: protocol.PropertyList{Present: protocol.FlagReplyTo, ReplyTo: "amq.rabbitmq.reply-to"}}, 406,
			"PRECONDITION_FAILED - fast reply consumer does not exist"},
	} {
		c.confirming(1)
		c.publish(1, message{key: q, body: "before"})
		wantAcked(t, c.confirms(1, 1, 1))
		c.publish(1, e.m, message{key: q, body: "behind"})
		m := expect[*protocol.ChannelClose](c, 1)
		if m.ReplyCode != e.code || m.ReplyText != e.text || m.ClassID != 60 || m.MethodID != 40 {
			t.Errorf("got %+v, want %d %s", m, e.code, e.text)
		}
		c.send(1, &protocol.ChannelCloseOk{})
		if _, body, ok := c.get(9, q, true); !ok || body != "before" {
			t.Errorf("%s: the message before is %q, %v", e.text, body, ok)
		}
		if _, body, ok := c.get(9, q, true); ok {
			t.Errorf("%s: there is %q", e.text, body)
		}
	}
}
