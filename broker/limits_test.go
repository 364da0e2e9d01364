package broker_test

import (
	"context"
	"strings"
	"testing"

	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

// TestLimitsOfVHostsAndUsers on connections and channels.
func TestLimitsOfVHostsAndUsers(t *testing.T) {
	b := start(t)
	vhost := func(limits map[string]int64) {
		t.Helper()
		if _, err := b.Editor().PutVHost(context.Background(), "/", func(r *topology.VHostRecord) { r.Limits = limits }, nil); err != nil {
			t.Fatal(err)
		}
	}
	user := func(limits map[string]int64) {
		t.Helper()
		if _, err := b.Editor().PutUser(context.Background(), "guest", func(r *topology.UserRecord) error { r.Limits = limits; return nil }, nil); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(text string) {
		t.Helper()
		c := dial(t, b)
		c.login(guest)
		expect[*protocol.ConnectionTune](c, 0)
		c.tune(guest)
		c.wantClose(0, protocol.CodeNotAllowed, "NOT_ALLOWED - "+text)
	}
	vhost(map[string]int64{"max-connections": 0})
	refused("access to vhost '/' refused for user 'guest': connection limit (0) is reached")
	vhost(map[string]int64{"max-connections": 1})
	first := connect(t, b)
	refused("access to vhost '/' refused for user 'guest': connection limit (1) is reached")
	vhost(map[string]int64{"max-connections": -1})
	user(map[string]int64{"max-connections": 1})
	refused("connection refused for user 'guest': user connection limit (1) is reached")
	user(map[string]int64{"max-channels": 3})
	other := connect(t, b)
	other.channel(1)
	other.channel(2)
	first.channel(1)
	first.send(1, &protocol.ChannelClose{})
	expect[*protocol.ChannelCloseOk](first, 1)
	first.channel(1)
	other.send(3, &protocol.ChannelOpen{}) // all of the user's connections count
	other.wantClose(0, protocol.CodeNotAllowed, "NOT_ALLOWED - number of channels opened for user 'guest' has reached the maximum allowed user limit of 3")
	other.wantEnd()
	eventually(t, "the other's channels count no more", func() bool {
		more := connect(t, b)
		more.send(1, &protocol.ChannelOpen{})
		_, m, err := more.method()
		_, open := m.(*protocol.ChannelOpenOk)
		more.conn.Close()
		return err == nil && open
	})
	user(map[string]int64{"max-channels": 1})
	first.send(2, &protocol.ChannelOpen{})
	first.wantClose(0, protocol.CodeNotAllowed, "NOT_ALLOWED - number of channels opened for user 'guest' has reached the maximum allowed user limit of 1")
	user(nil)
	second := connect(t, b)
	second.channel(1)
	second.channel(2)
}

// TestTablesThatAreTooMuch: too deep, too many fields, lengths that lie; in arguments and in headers.
func TestTablesThatAreTooMuch(t *testing.T) {
	b := start(t)
	deep := protocol.Table{{Key: "k", Value: true}}
	for range protocol.TableDepthMax {
		deep = protocol.Table{{Key: "k", Value: deep}}
	}
	wide := protocol.Table{}
	for range protocol.TableEntriesMax + 1 {
		wide = append(wide, protocol.Field{Key: "k", Value: true})
	}
	for what, raw := range map[string]protocol.RawTable{
		"too deep": deep.Raw(), "too wide": wide.Raw(), "a length that lies": protocol.RawTable("\x01kS\xff\xff\xff\xffabc"),
		"an unknown type": protocol.RawTable("\x01kU\x00\x00"), "cut off": protocol.RawTable("\x05k"),
	} {
		c := connect(t, b)
		c.channel(1)
		c.send(1, &protocol.QueueDeclare{Queue: "q", Arguments: raw})
		if m := expect[*protocol.ConnectionClose](c, 0); m.ReplyCode != protocol.CodeFrameError && m.ReplyCode != protocol.CodeSyntaxError || m.ClassID != 50 {
			t.Errorf("%s, in arguments: %+v", what, m)
		}
		c = connect(t, b)
		c.channel(1)
		c.publish(1, message{key: "q", properties: protocol.PropertyList{Present: protocol.FlagHeaders, Headers: raw}})
		if m := expect[*protocol.ConnectionClose](c, 0); m.ReplyCode < 500 {
			t.Errorf("%s, in headers: %+v", what, m)
		}
	}
	// what is just allowed goes through, and comes out as it went in
	c := connect(t, b)
	c.channel(1)
	q := c.queue(1, protocol.QueueDeclare{Exclusive: true}).Queue
	for _, raw := range []protocol.RawTable{deep[0].Value.(protocol.Table).Raw(), wide[:1].Raw(), protocol.Table{{Key: strings.Repeat("k", 255), Value: nil}}.Raw()} {
		properties := protocol.PropertyList{Present: protocol.FlagHeaders, Headers: raw}
		c.publish(1, message{key: q, properties: properties})
		c.send(1, &protocol.BasicGet{Queue: q, NoAck: true})
		expect[*protocol.BasicGetOk](c, 1)
		if got, _ := c.content(1); string(got) != string(properties.Append(nil)) {
			t.Errorf("%d octets came out as %d", len(properties.Append(nil)), len(got))
		}
	}
}
