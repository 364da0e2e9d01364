package broker_test

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/protocol"
)

// soon makes a broker that waits for nobody.
func soon(c *broker.Config) {
	c.Session.HandshakeTimeout = 300 * time.Millisecond
	c.Session.RefusalDelay = time.Millisecond
}

func TestServerSaysWhatItIs(t *testing.T) {
	c := dial(t, start(t, func(c *broker.Config) { c.ClusterName = "the-cluster" }))
	c.write([]byte(protocol.ProtocolHeader))
	m := expect[*protocol.ConnectionStart](c, 0)
	if m.VersionMajor != 0 || m.VersionMinor != 9 || m.Mechanisms != "PLAIN AMQPLAIN ANONYMOUS" || m.Locales != "en_US" {
		t.Errorf("%+v", m)
	}
	table := m.ServerProperties.Decode()
	for key, want := range map[string]string{"product": "RabbitMQ", "version": "4.3.6", "cluster_name": "the-cluster"} {
		if got, _ := table.Get(key); got != want {
			t.Errorf("%s is %v, want %s", key, got, want)
		}
	}
	value, _ := table.Get("capabilities")
	capabilities, _ := value.(protocol.Table)
	for _, name := range []string{
		"publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify", "connection.blocked",
		"consumer_priorities", "authentication_failure_close", "per_consumer_qos", "direct_reply_to",
	} {
		if on, _ := capabilities.Get(name); on != true {
			t.Errorf("capability %s is %v", name, on)
		}
	}
	if !slices.IsSortedFunc(table, func(a, b protocol.Field) int { return strings.Compare(a.Key, b.Key) }) {
		t.Error("the properties are not sorted")
	}
}

// TestGarbageIsToldWhatIsSpokenHere: whoever speaks something else gets a protocol header and the end of the connection.
func TestGarbageIsToldWhatIsSpokenHere(t *testing.T) {
	b := start(t)
	for _, c := range []struct{ what, sent, answer string }{
		{"HTTP", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "AMQP\x03\x01\x00\x00"},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "AMQP\x03\x01\x00\x00"},
		{"zeros", strings.Repeat("\x00", 64), "AMQP\x03\x01\x00\x00"},
		{"0-8", "AMQP\x01\x01\x08\x00", "AMQP\x03\x01\x00\x00"},
		{"AMQP 1.0", "AMQP\x00\x01\x00\x00", "AMQP\x03\x01\x00\x00"},
		{"AMQP 1.0 over TLS", "AMQP\x02\x01\x00\x00", "AMQP\x03\x01\x00\x00"},
		{"0-10", "AMQP\x00\x00\x0a\x00", "AMQP\x00\x00\x09\x01"},
		{"a method without a header", "\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x0b\xce", "AMQP\x03\x01\x00\x00"},
	} {
		t.Run(c.what, func(t *testing.T) {
			client := dial(t, b)
			client.write([]byte(c.sent))
			got, err := io.ReadAll(client.conn)
			if string(got) != c.answer || err != nil && !isReset(err) {
				t.Errorf("got %q (%v), want %q", got, err, c.answer)
			}
		})
	}
	connect(t, b).close() // others are served as before
}

// TestHandshakeHasOneDeadline, which a client cannot put off octet by octet.
func TestHandshakeHasOneDeadline(t *testing.T) {
	b := start(t, soon)
	startOk := protocol.AppendMethodFrame(nil, 0, &protocol.ConnectionStartOk{Mechanism: "PLAIN", Response: "\x00guest\x00guest"})
	drip := slices.Concat([]byte(protocol.ProtocolHeader), startOk, bytes.Repeat(protocol.AppendHeartbeat(nil), 100))
	for _, c := range []struct {
		what string
		at   int // octets that are sent at once
		slow bool
	}{
		{"silence", 0, false}, {"half a header", 4, false}, {"no start-ok", 8, false}, {"half a start-ok", 20, false},
		{"no tune-ok", 8 + len(startOk), false}, {"octet by octet", 0, true}, {"heartbeats", 8 + len(startOk), true},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			client := dial(t, b)
			client.write(drip[:c.at])
			ended := make(chan struct{})
			if c.slow {
				go func() { // until the socket is closed
					defer close(ended)
					ticker := time.NewTicker(5 * time.Millisecond)
					defer ticker.Stop()
					for i := range drip[c.at:] {
						<-ticker.C
						if _, err := client.conn.Write(drip[c.at+i : c.at+i+1]); err != nil {
							return
						}
					}
				}()
			} else {
				close(ended)
			}
			client.wantEnd()
			client.conn.Close()
			<-ended
		})
	}
}

func TestMechanisms(t *testing.T) {
	b := start(t)
	amqplain := protocol.Table{{Key: "LOGIN", Value: "guest"}, {Key: "PASSWORD", Value: "guest"}}.Raw()
	for _, c := range []struct{ mechanism, response string }{
		{"PLAIN", "\x00guest\x00guest"}, {"AMQPLAIN", string(amqplain)}, {"ANONYMOUS", ""},
	} {
		client := dial(t, b)
		client.write([]byte(protocol.ProtocolHeader))
		expect[*protocol.ConnectionStart](client, 0)
		client.send(0, &protocol.ConnectionStartOk{Mechanism: c.mechanism, Response: c.response, Locale: "en_US"})
		expect[*protocol.ConnectionTune](client, 0)
		client.tune(guest)
		expect[*protocol.ConnectionOpenOk](client, 0)
		client.close()
	}
}

func TestRefusedLogins(t *testing.T) {
	b := start(t, soon)
	const refused = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile."
	for _, how := range []tuned{
		{user: "guest", password: "wrong"}, {user: "nobody", password: "guest"}, {user: "guest"}, {},
	} {
		how.capabilities = guest.capabilities
		c := dial(t, b)
		c.login(how)
		c.wantClose(0, protocol.CodeAccessRefused, refused)
		c.wantEnd()
		how.capabilities = nil // a client that does not understand connection.close here
		c = dial(t, b)
		c.login(how)
		if said := c.wantEnd(); len(said) > 0 {
			t.Errorf("%+v is told %T", how, said[0])
		}
	}
	for _, c := range []struct {
		mechanism, response string
		code                uint16
		text                string
	}{
		{"EXTERNAL", "", protocol.CodeCommandInvalid, "COMMAND_INVALID - unknown authentication mechanism 'EXTERNAL'"},
		{"PLAIN", "guest", protocol.CodeSyntaxError, "SYNTAX_ERROR - malformed authentication response: response of mechanism PLAIN invalid"},
		{"AMQPLAIN", "", protocol.CodeSyntaxError, "SYNTAX_ERROR - malformed authentication response: AMQPLAIN auth info is missing LOGIN or PASSWORD field"},
	} {
		client := dial(t, b)
		client.write([]byte(protocol.ProtocolHeader))
		expect[*protocol.ConnectionStart](client, 0)
		client.send(0, &protocol.ConnectionStartOk{Mechanism: c.mechanism, Response: c.response, Locale: "en_US"})
		client.wantClose(0, c.code, c.text)
		client.wantEnd()
	}
}

func TestTuning(t *testing.T) {
	b := start(t)
	c := dial(t, b)
	c.login(guest)
	if m := expect[*protocol.ConnectionTune](c, 0); m.ChannelMax != 2047 || m.FrameMax != 131072 || m.Heartbeat != 60 {
		t.Errorf("%+v", m)
	}
	for _, c := range []struct {
		channelMax uint16
		frameMax   uint32
		refusal    string
	}{
		{2047, 131072, ""}, {1, 8192, ""}, {100, 8193, ""},
		{0, 131072, "negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (2047)"},
		{2048, 131072, "negotiated channel_max = 2048 is higher than the maximum allowed value (2047)"},
		{65535, 131072, "negotiated channel_max = 65535 is higher than the maximum allowed value (2047)"},
		{2047, 131073, "negotiated frame_max = 131073 is higher than the maximum allowed value (131072)"},
		{2047, 4294967295, "negotiated frame_max = 4294967295 is higher than the maximum allowed value (131072)"},
		{2047, 0, "negotiated frame_max = 0 (no limit) is higher than the maximum allowed value (131072)"},
		{2047, 1, "negotiated frame_max = 1 is lower than the minimum allowed value (8192)"},
		{2047, 8191, "negotiated frame_max = 8191 is lower than the minimum allowed value (8192)"},
	} {
		client := dial(t, b)
		client.login(guest)
		expect[*protocol.ConnectionTune](client, 0)
		how := guest
		how.channelMax, how.frameMax = c.channelMax, c.frameMax
		client.tune(how)
		if c.refusal != "" {
			m := expect[*protocol.ConnectionClose](client, 0)
			if m.ReplyCode != protocol.CodeNotAllowed || m.ReplyText != "NOT_ALLOWED - "+c.refusal || m.ClassID != 10 || m.MethodID != 31 {
				t.Errorf("channel_max %d, frame_max %d: %+v", c.channelMax, c.frameMax, m)
			}
			continue
		}
		expect[*protocol.ConnectionOpenOk](client, 0)
		client.close()
	}
}

func TestOpeningAVHost(t *testing.T) {
	b := start(t, func(c *broker.Config) { c.MaxConnections = 2 })
	try := func(vhost string) *client {
		how := guest
		how.vhost = vhost
		c := dial(t, b)
		c.login(how)
		expect[*protocol.ConnectionTune](c, 0)
		c.tune(how)
		return c
	}
	c := try("missing")
	c.wantClose(0, protocol.CodeNotAllowed, "NOT_ALLOWED - vhost missing not found")
	c.wantEnd()
	first, second := connect(t, b), connect(t, b)
	c = try("/")
	c.wantClose(0, protocol.CodeNotAllowed, "NOT_ALLOWED - connection refused: node connection limit (2) is reached")
	c.wantEnd()
	first.close()
	eventually(t, "there is room again", func() bool {
		c := try("/")
		_, m, err := c.method()
		_, open := m.(*protocol.ConnectionOpenOk)
		return err == nil && open
	})
	second.close()
}

func TestMethodsOutOfPlace(t *testing.T) {
	b := start(t)
	c := dial(t, b)
	c.write([]byte(protocol.ProtocolHeader))
	expect[*protocol.ConnectionStart](c, 0)
	c.send(0, &protocol.ConnectionTuneOk{ChannelMax: 10, FrameMax: 8192})
	c.wantClose(0, protocol.CodeChannelError, "CHANNEL_ERROR - unexpected method in connection state starting")
	c = dial(t, b)
	c.login(guest)
	expect[*protocol.ConnectionTune](c, 0)
	c.send(0, &protocol.ConnectionOpen{VirtualHost: "/"})
	c.wantClose(0, protocol.CodeChannelError, "CHANNEL_ERROR - unexpected method in connection state tuning")
	c = dial(t, b)
	c.login(guest)
	expect[*protocol.ConnectionTune](c, 0)
	c.send(0, &protocol.ConnectionTuneOk{ChannelMax: 10, FrameMax: 8192})
	c.send(1, &protocol.ChannelOpen{})
	if m := expect[*protocol.ConnectionClose](c, 0); m.ReplyCode != protocol.CodeUnexpectedFrame || !strings.HasPrefix(m.ReplyText, "UNEXPECTED_FRAME - type 1, all octets = <<") {
		t.Errorf("%+v", m)
	}
	c = connect(t, b)
	c.send(0, &protocol.ConnectionOpen{VirtualHost: "/"})
	c.wantClose(0, protocol.CodeChannelError, "CHANNEL_ERROR - unexpected method in connection state running")
	c = connect(t, b)
	c.send(0, &protocol.ChannelOpen{})
	c.wantClose(0, protocol.CodeChannelError, "CHANNEL_ERROR - unexpected method in connection state running")
	c = connect(t, b)
	c.channel(1)
	c.send(1, &protocol.ConnectionOpen{VirtualHost: "/"})
	c.wantClose(0, protocol.CodeCommandInvalid, "COMMAND_INVALID - unimplemented method")
}
