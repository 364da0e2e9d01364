package compat

import (
	"context"
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// account makes a user who may do everything in a vhost.
func (m *management) account(inPath, tags string) (user, password string) {
	m.t.Helper()
	user, password = m.newUser(tags)
	m.must(created, put, "/permissions/"+inPath+"/"+user, everything)
	return user, password
}

func TestConnectionLimits(t *testing.T) {
	t.Parallel()
	m := manage(t)
	vhost, inPath := m.vhost()
	user, password := m.account(inPath, "")
	m.must(changed, put, "/vhost-limits/"+inPath+"/max-connections", object{"value": 0})
	_, err := connectTo(t, vhost, user, password)
	wantRefusal(t, err, amqp.NotAllowed, "access to vhost '"+vhost+"' refused for user '"+user+"': connection limit (0) is reached")
	m.must(changed, put, "/vhost-limits/"+inPath+"/max-connections", object{"value": -1})
	m.must(changed, put, "/user-limits/"+user+"/max-connections", object{"value": 1})
	conn, err := connectTo(t, vhost, user, password)
	if err != nil {
		t.Fatal(err)
	}
	_, err = connectTo(t, vhost, user, password)
	wantRefusal(t, err, amqp.NotAllowed, "connection refused for user '"+user+"': user connection limit (1) is reached")
	c := channelOf(t, conn)
	c.must(conn.Close(), "connection.close")
	c.eventually("room again", func() bool {
		_, err := connectTo(t, vhost, user, password)
		return err == nil
	})
}

func TestChannelLimitOfAUser(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	m := manage(t)
	vhost, inPath := m.vhost()
	user, password := m.account(inPath, "")
	m.must(changed, put, "/user-limits/"+user+"/max-channels", object{"value": 2})
	conn, err := connectTo(t, vhost, user, password)
	if err != nil {
		t.Fatal(err)
	}
	channelOf(t, conn)
	channelOf(t, conn)
	_, err = conn.Channel()
	wantRefusal(t, err, amqp.NotAllowed, "number of channels opened for user '"+user+"' has reached the maximum allowed user limit of 2")
}

func TestQueueLimitOfAVhost(t *testing.T) {
	t.Parallel()
	m := manage(t)
	vhost, inPath := m.vhost()
	m.must(changed, put, "/vhost-limits/"+inPath+"/max-queues", object{"value": 1})
	c := m.enter(vhost)
	_, err := c.QueueDeclare("one", true, false, false, false, nil)
	c.must(err, "queue.declare")
	_, err = c.QueueDeclare("one", true, false, false, false, nil)
	c.must(err, "queue.declare of what is there")
	_, err = c.QueueDeclare("two", true, false, false, false, nil)
	wantRefusal(t, err, amqp.PreconditionFailed, "cannot declare queue 'two': queue limit in vhost '"+vhost+"' (1) is reached")
}

func TestImpersonatorsPublishAsAnybody(t *testing.T) {
	t.Parallel()
	m := manage(t)
	vhost, inPath := m.vhost()
	user, password := m.account(inPath, "impersonator")
	conn, err := connectTo(t, vhost, user, password)
	if err != nil {
		t.Fatal(err)
	}
	c := channelOf(t, conn)
	q := c.exclusiveQueue()
	for _, id := range []string{user, "somebody else"} {
		c.send("", q, amqp.Publishing{UserId: id})
		equal(t, "user_id", c.get(q).UserId, id)
	}
	user, password = m.account(inPath, "administrator")
	conn, err = connectTo(t, vhost, user, password)
	if err != nil {
		t.Fatal(err)
	}
	c = channelOf(t, conn)
	closed := c.closed()
	c.send("", "k", amqp.Publishing{UserId: "somebody else"})
	c.refused(closed, amqp.PreconditionFailed, "user_id property set to 'somebody else' but authenticated user was '"+user+"'")
}

func TestUpdateSecret(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	ds := c.consume(q)
	uri, err := amqp.ParseURI(brokerURL)
	c.must(err, "the address")
	c.must(c.conn.UpdateSecret(uri.Password, "a new one"), "connection.update-secret")
	c.publish("", q, "m")
	equal(t, "all goes on", string(c.next(ds).Body), "m")
}

func TestDeletingAVhostOrUserClosesItsConnections(t *testing.T) {
	t.Parallel()
	m := manage(t)
	vhost, inPath := m.vhost()
	user, password := m.account(inPath, "")
	conn, err := connectTo(t, vhost, user, password)
	if err != nil {
		t.Fatal(err)
	}
	c, other := channelOf(t, conn), m.enter(vhost)
	closed, otherClosed := conn.NotifyClose(make(chan *amqp.Error, 1)), other.conn.NotifyClose(make(chan *amqp.Error, 1))
	m.must(changed, remove, "/users/"+user, nil)
	c.refused(closed, amqp.ConnectionForced, "user '"+user+"' is deleted")
	m.must(changed, remove, "/vhosts/"+inPath, nil)
	other.refused(otherClosed, amqp.ConnectionForced, "vhost '"+vhost+"' is ")
}

// A global prefetch is one limit for the channel's consumers, where the broker still permits it.
func TestGlobalPrefetch(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	m, c := manage(t), connect(t)
	m.globalPrefetch()
	one, two := c.queue(nil), c.queue(nil)
	c.fill(one, numbered(5)...)
	c.fill(two, numbered(5)...)
	c.must(c.Qos(3, 0, true), "basic.qos global")
	a, b := c.consume(one), c.consume(two)
	for range 3 {
		select {
		case <-a:
		case <-b:
		case <-time.After(patience):
			t.Fatal("no delivery came")
		}
	}
	c.quiet(a)
	c.quiet(b)
}

func TestImmediateIsNotImplemented(t *testing.T) {
	t.Parallel()
	c := connect(t)
	closed := c.conn.NotifyClose(make(chan *amqp.Error, 1))
	c.must(c.PublishWithContext(context.Background(), "amq.direct", "k", false, true, amqp.Publishing{}), "basic.publish")
	c.refused(closed, amqp.NotImplemented, "immediate=true")
}

// globalPrefetch skips a test where a prefetch for the whole channel is not honoured.
func (m *management) globalPrefetch() {
	m.t.Helper()
	features, _ := m.get("/deprecated-features").([]any)
	for _, f := range features {
		if follow(f, "name") == "global_qos" && follow(f, "deprecation_phase") == "denied_by_default" && follow(f, "state") != "permitted" {
			m.t.Skipf("the broker reads a global prefetch as each consumer's own: %v", f)
		}
	}
}

// The channel's common prefetch is for consumers: what was got counts for nobody.
func TestGlobalPrefetchDoesNotCountWhatWasGot(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	m, c := manage(t), connect(t)
	m.globalPrefetch()
	q := c.queue(nil)
	c.fill(q, numbered(6)...)
	c.must(c.Qos(2, 0, true), "basic.qos global")
	c.get(q)
	c.get(q)
	ds := c.consume(q)
	equal(t, "delivered", fmt.Sprint(c.nextBodies(ds, 2)), "[2 3]")
	c.quiet(ds)
}

// Nor does it bind who reads from a quorum queue already, where there is none.
func TestGlobalPrefetchIsNotForQuorumQueues(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	m, c := manage(t), connect(t)
	m.globalPrefetch()
	q := c.quorumQueue(nil)
	c.fill(q, numbered(6)...)
	c.prefetch(3)
	ds := c.consume(q)
	first := c.next(ds)
	c.nextBodies(ds, 2)
	c.must(c.Qos(1, 0, true), "basic.qos global")
	c.must(first.Ack(false), "basic.ack")
	equal(t, "the next", string(c.next(ds).Body), "3")
	_, err := c.Consume(q, "", false, false, false, false, nil)
	wantRefusal(t, err, amqp.NotImplemented, "queue '"+q+"'", "does not support global qos")
}

// Who may not write to the end of a binding hears that first, even if nothing could be bound to the default exchange.
func TestBindingAsksForPermissionFirst(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	m := manage(t)
	vhost, inPath := m.vhost()
	c := m.enter(vhost)
	q := unique("q")
	_, err := c.QueueDeclare(q, true, false, false, false, nil)
	c.must(err, "queue.declare")
	user, password := m.newUser("")
	m.must(created, put, "/permissions/"+inPath+"/"+user, object{"configure": "^$", "write": "^$", "read": ".*"})
	conn, err := connectTo(t, vhost, user, password)
	if err != nil {
		t.Fatal(err)
	}
	err = channelOf(t, conn).QueueBind(q, "k", "", false, nil)
	wantRefusal(t, err, amqp.AccessRefused, "write access to queue '"+q+"' in vhost '"+vhost+"' refused for user '"+user+"'")
	err = channelOf(t, conn).ExchangeBind("", "k", "amq.topic", false, nil)
	wantRefusal(t, err, amqp.AccessRefused, "write access to exchange 'amq.default' in vhost '"+vhost+"' refused for user '"+user+"'")
	m.must(changed, put, "/permissions/"+inPath+"/"+user, everything)
	err = channelOf(t, conn).QueueBind(q, "k", "", false, nil)
	wantRefusal(t, err, amqp.AccessRefused, "operation not permitted on the default exchange")
}
