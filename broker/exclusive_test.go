package broker_test

import (
	"context"
	"testing"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/broker/auth"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

const lockedText = "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'own' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration."

func TestExclusiveQueuesAreTheirConnectionsAlone(t *testing.T) {
	b := start(t)
	owner, other := connect(t, b), connect(t, b)
	owner.channel(1)
	owner.channel(2)
	owner.queue(1, protocol.QueueDeclare{Queue: "own", Exclusive: true})
	owner.queue(2, protocol.QueueDeclare{Queue: "own", Exclusive: true, Durable: true}) // exclusive queues are never durable
	for _, m := range []protocol.Method{
		&protocol.QueueDeclare{Queue: "own"}, &protocol.QueueDeclare{Queue: "own", Exclusive: true},
		&protocol.QueueDeclare{Queue: "own", Passive: true}, &protocol.QueueBind{Queue: "own", Exchange: "amq.fanout"},
		&protocol.QueuePurge{Queue: "own"}, &protocol.QueueDelete{Queue: "own"},
		&protocol.BasicConsume{Queue: "own"}, &protocol.BasicGet{Queue: "own"},
	} {
		other.channel(1)
		other.send(1, m)
		if got := expect[*protocol.ChannelClose](other, 1); got.ReplyCode != protocol.CodeResourceLocked || got.ReplyText != lockedText {
			t.Errorf("%T: %+v", m, got)
		}
		other.send(1, &protocol.ChannelCloseOk{})
	}
	owner.send(1, &protocol.QueueDeclare{Queue: "own"})
	owner.wantClose(1, protocol.CodeResourceLocked, lockedText)
	other.channel(1)
	other.publish(1, message{key: "own", body: "m"}) // which anybody may
	eventually(t, "the message is there", func() bool { ready, _ := owner.count(2, "own"); return ready == 1 })
}

// TestExclusiveQueuesGoWithTheirConnection: before close-ok when it closes in order, soon when it is cut.
func TestExclusiveQueuesGoWithTheirConnection(t *testing.T) {
	b := start(t)
	other := connect(t, b)
	gone := func(name string) bool {
		other.channel(1)
		other.send(1, &protocol.QueueDeclare{Queue: name, Passive: true})
		_, m, err := other.method()
		switch m := m.(type) {
		case *protocol.QueueDeclareOk:
			other.send(1, &protocol.ChannelClose{})
			expect[*protocol.ChannelCloseOk](other, 1)
			return false
		case *protocol.ChannelClose:
			other.send(1, &protocol.ChannelCloseOk{})
			return m.ReplyCode == protocol.CodeNotFound
		}
		t.Fatalf("%T %v", m, err)
		return false
	}
	owner := connect(t, b)
	owner.channel(1)
	owner.channel(2)
	for _, name := range []string{"own", "two"} {
		owner.queue(1, protocol.QueueDeclare{Queue: name, Exclusive: true})
		owner.publish(1, bodies(name, 0, 10)...)
	}
	owner.bind(1, "amq.fanout", "own", "two")
	owner.consume(2, protocol.BasicConsume{Queue: "own"})
	owner.close()
	for _, name := range []string{"own", "two"} {
		if !gone(name) {
			t.Errorf("%s is there after close-ok", name)
		}
	}
	owner = connect(t, b)
	owner.channel(1)
	owner.queue(1, protocol.QueueDeclare{Queue: "own", Exclusive: true})
	owner.conn.Close()
	eventually(t, "the queue of the connection that was cut is gone", func() bool { return gone("own") })
	owner = connect(t, b) // a connection error is an end too
	owner.channel(1)
	owner.queue(1, protocol.QueueDeclare{Queue: "own", Exclusive: true})
	owner.send(1, &protocol.ChannelOpen{})
	owner.wantClose(0, protocol.CodeChannelError, "CHANNEL_ERROR - second 'channel.open' seen")
	eventually(t, "the queue of the connection that failed is gone", func() bool { return gone("own") })
	if left := b.Editor().Catalog().VHost("/").QueueCount(); left != 0 {
		t.Errorf("%d queues are left", left)
	}
}

// TestAutoDeleteQueuesGoWithTheirLastConsumer, before cancel-ok, and not before there was one.
func TestAutoDeleteQueuesGoWithTheirLastConsumer(t *testing.T) {
	b := start(t)
	there := func() bool { return b.Editor().Catalog().VHost("/").Queue("q") != nil }
	for _, end := range []string{"cancel", "channel", "connection"} {
		c := connect(t, b)
		c.channel(1)
		c.channel(2)
		c.queue(1, protocol.QueueDeclare{Queue: "q", AutoDelete: true})
		c.publish(1, bodies("q", 0, 2)...)
		if _, _, ok := c.get(1, "q", true); !ok || !there() {
			t.Fatalf("%s: gone without a consumer", end)
		}
		first := c.consume(1, protocol.BasicConsume{Queue: "q"})
		c.delivery(1)
		second := c.consume(2, protocol.BasicConsume{Queue: "q"})
		c.send(1, &protocol.BasicCancel{ConsumerTag: first})
		expect[*protocol.BasicCancelOk](c, 1)
		if !there() {
			t.Fatalf("%s: gone with a consumer", end)
		}
		switch end {
		case "cancel":
			c.send(2, &protocol.BasicCancel{ConsumerTag: second})
			expect[*protocol.BasicCancelOk](c, 2)
		case "channel":
			c.send(2, &protocol.ChannelClose{})
			expect[*protocol.ChannelCloseOk](c, 2)
		default:
			c.close()
		}
		if there() {
			t.Errorf("%s: still there", end)
		}
	}
}

func TestConditionalDeletes(t *testing.T) {
	b := start(t)
	c := connect(t, b)
	refused := func(m protocol.QueueDelete, text string) {
		t.Helper()
		c.channel(1)
		c.send(1, &m)
		c.wantClose(1, protocol.CodePreconditionFailed, text)
	}
	c.channel(2)
	c.queue(2, protocol.QueueDeclare{Queue: "q"})
	c.publish(2, bodies("q", 0, 3)...)
	c.count(2, "q")
	refused(protocol.QueueDelete{Queue: "q", IfEmpty: true}, "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty")
	c.send(2, &protocol.BasicQos{PrefetchCount: 1})
	expect[*protocol.BasicQosOk](c, 2)
	c.consume(2, protocol.BasicConsume{Queue: "q"})
	c.delivery(2)
	refused(protocol.QueueDelete{Queue: "q", IfUnused: true}, "PRECONDITION_FAILED - queue 'q' in vhost '/' in use")
	refused(protocol.QueueDelete{Queue: "q", IfUnused: true, IfEmpty: true}, "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty")
	c.send(2, &protocol.QueuePurge{Queue: "q"})
	if ok := expect[*protocol.QueuePurgeOk](c, 2); ok.MessageCount != 2 {
		t.Errorf("%d messages were purged", ok.MessageCount)
	}
	c.send(2, &protocol.QueueDelete{Queue: "q", IfEmpty: true}) // what is unacked does not count
	expect[*protocol.BasicCancel](c, 2)
	if ok := expect[*protocol.QueueDeleteOk](c, 2); ok.MessageCount != 0 {
		t.Errorf("%d messages were deleted", ok.MessageCount)
	}
	c.send(2, &protocol.QueueDelete{Queue: "q", IfEmpty: true, IfUnused: true}) // one that is not there
	expect[*protocol.QueueDeleteOk](c, 2)
}

// TestDeletedVHostsAndUsersTakeTheirConnectionsAlong.
func TestDeletedVHostsAndUsersTakeTheirConnectionsAlong(t *testing.T) {
	b := start(t)
	ctx, e := context.Background(), b.Editor()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	hash, err := auth.Hash(auth.SHA256, "p")
	must(err)
	_, err = e.PutUser(ctx, "bob", func(r *topology.UserRecord) error {
		r.PasswordHash, r.Algorithm = hash, auth.SHA256
		return nil
	}, nil)
	must(err)
	_, err = e.PutVHost(ctx, "v", nil, nil)
	must(err)
	for _, user := range []string{"guest", "bob"} {
		for _, vhost := range []string{"/", "v"} {
			_, err = e.PutPermission(ctx, vhost, user, ".*", ".*", ".*", nil)
			must(err)
		}
	}
	as := func(user, password, vhost string) *client {
		how := guest
		how.user, how.password, how.vhost = user, password, vhost
		c := connectAs(t, b, how)
		c.channel(1)
		return c
	}
	stays, inV, bobs := as("guest", "guest", "/"), as("guest", "guest", "v"), as("bob", "p", "/")
	inV.queue(1, protocol.QueueDeclare{Queue: "own", Exclusive: true})
	inV.queue(1, protocol.QueueDeclare{Queue: "q", Durable: true})
	bobs.queue(1, protocol.QueueDeclare{Queue: "own", Exclusive: true})
	_, err = e.DeleteVHost(ctx, "v", nil)
	must(err)
	inV.wantClose(0, protocol.CodeConnectionForced, "CONNECTION_FORCED - vhost 'v' is deleted")
	inV.wantEnd()
	_, err = e.DeleteUser(ctx, "bob", nil)
	must(err)
	bobs.wantClose(0, protocol.CodeConnectionForced, "CONNECTION_FORCED - user 'bob' is deleted")
	bobs.wantEnd()
	eventually(t, "bob's queue is gone", func() bool { return e.Catalog().VHost("/").QueueCount() == 0 })
	stays.quiet(1)
	c := dial(t, b)
	c.login(tuned{user: "bob", password: "p", capabilities: guest.capabilities})
	if m := expect[*protocol.ConnectionClose](c, 0); m.ReplyCode != protocol.CodeAccessRefused {
		t.Errorf("%+v", m)
	}
}

// TestPermissionsAreAskedEachTime: what was taken back is refused on channels that are open.
func TestPermissionsAreAskedEachTime(t *testing.T) {
	b := start(t, func(c *broker.Config) { c.LoopbackOnly = []string{} })
	c := connect(t, b)
	c.channel(1)
	q := c.queue(1, protocol.QueueDeclare{}).Queue
	c.publish(1, message{key: q})
	if _, _, ok := c.get(1, q, true); !ok {
		t.Fatal("nothing to get")
	}
	_, err := b.Editor().PutPermission(context.Background(), "/", "guest", ".*", "", "^$", nil)
	if err != nil {
		t.Fatal(err)
	}
	c.publish(1, message{key: q})
	c.wantClose(1, protocol.CodeAccessRefused, "ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused for user 'guest'")
	c.channel(1)
	c.send(1, &protocol.BasicGet{Queue: q})
	c.wantClose(1, protocol.CodeAccessRefused, "ACCESS_REFUSED - read access to queue '"+q+"' in vhost '/' refused for user 'guest'")
}
