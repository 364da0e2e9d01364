package session

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/warrenmq/warren/broker/auth"
	"github.com/warrenmq/warren/broker/dispatch"
	"github.com/warrenmq/warren/protocol"
)

// handshake leads the connection from the protocol header to connection.open-ok. The whole of it has one deadline.
func (r *reader) handshake() error {
	if err := r.conn.SetDeadline(time.Now().Add(r.env.HandshakeTimeout)); err != nil {
		return err
	}
	if err := r.protocolHeader(); err != nil {
		return err
	}
	steps := []func() error{r.start, r.tune, r.open}
	for _, step := range steps {
		if err := step(); err != nil {
			var refusal *protocol.Error
			if errors.As(err, &refusal) {
				return r.refuseHandshake(refusal)
			}
			return err
		}
	}
	return r.conn.SetDeadline(time.Time{})
}

// refuseHandshake sends connection.close before there is a running connection, and waits for the client to have read it.
func (r *reader) refuseHandshake(refusal *protocol.Error) error {
	r.logger.Warn().Uint16("code", refusal.Code).Str("reason", refusal.Text).Msg("connection refused")
	r.write(0, &protocol.ConnectionClose{
		ReplyCode: refusal.Code, ReplyText: refusal.ReplyText(), ClassID: refusal.Method.Class(), MethodID: refusal.Method.Method(),
	})
	_ = r.conn.SetReadDeadline(time.Now().Add(lingerTime))
	for {
		m, err := r.next()
		if _, answered := m.(*protocol.ConnectionCloseOk); answered {
			return errOver
		}
		var refusal *protocol.Error
		if err != nil && !errors.As(err, &refusal) {
			return errOver
		}
		if refusal != nil && refusal.Code == protocol.CodeFrameError {
			return errOver // out of step: no answer can be found
		}
	}
}

// write sends a method at once: until the connection is open the writer has nothing to say.
func (r *reader) write(channel uint16, m protocol.Method) {
	if _, err := r.conn.Write(protocol.AppendMethodFrame(nil, channel, m)); err != nil {
		r.logger.Debug().Err(err).Msg("writing failed")
	}
}

func (r *reader) protocolHeader() error {
	for len(r.in.bytes()) < protocol.ProtocolHeaderSize {
		if err := r.in.fill(r.conn); err != nil {
			return err
		}
	}
	head := [protocol.ProtocolHeaderSize]byte(r.in.bytes())
	if _, refusal := protocol.ParseProtocolHeader(head); refusal != "" {
		r.logger.Warn().Bytes("header", head[:]).Msg("not an AMQP 0-9-1 client")
		_, _ = r.conn.Write([]byte(refusal)) // whoever it is will see the close
		return errOver
	}
	r.in.skip(protocol.ProtocolHeaderSize)
	return nil
}

// next reads the next method on channel 0; heartbeats are stepped over.
func (r *reader) next() (protocol.Method, error) {
	for {
		f, n, err := protocol.ParseFrame(r.in.bytes(), r.frameMax)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			if err := r.in.fill(r.conn); err != nil {
				return nil, err
			}
			continue
		}
		r.in.skip(n)
		if f.Type == protocol.FrameHeartbeat && f.Channel == 0 {
			continue
		}
		if f.Channel != 0 || f.Type != protocol.FrameMethod {
			return nil, protocol.UnexpectedFrame(f)
		}
		return protocol.DecodeMethod(f.Payload)
	}
}

func (r *reader) start() error {
	r.write(0, &protocol.ConnectionStart{
		VersionMajor: 0, VersionMinor: 9, ServerProperties: r.serverProperties().Raw(),
		Mechanisms: r.env.Authority.Mechanisms(), Locales: "en_US",
	})
	m, err := r.next()
	if err != nil {
		return err
	}
	ok, is := m.(*protocol.ConnectionStartOk)
	if !is {
		return unexpected("starting", m)
	}
	r.client = readClientProperties(ok.ClientProperties)
	r.mechanism = ok.Mechanism
	r.principal, err = r.env.Authority.Login(ok.Mechanism, []byte(ok.Response), r.conn.RemoteAddr())
	r.tellLogin(err)
	if err != nil {
		return r.refuseLogin(ok.Mechanism, err)
	}
	return nil
}

// refuseLogin tells a client that understands it that its login was refused; others find the socket closed after a while.
func (r *reader) refuseLogin(mechanism string, err error) error {
	r.env.Logins.Warn().Uint64("conn", r.id).Str("peer", r.conn.RemoteAddr().String()).Str("user", r.principal.Name()).Str("mechanism", mechanism).Err(err).Msg("login refused")
	switch {
	case errors.Is(err, auth.ErrMechanism):
		return protocol.Errorf(protocol.CodeCommandInvalid, "%s", err)
	case errors.Is(err, auth.ErrResponse):
		return protocol.Errorf(protocol.CodeSyntaxError, "%s", err)
	case r.client.authFailureClose:
		return protocol.AccessRefused("Login was refused using authentication mechanism %s. For details see the broker logfile.", mechanism)
	}
	r.pause(r.env.RefusalDelay)
	return errOver
}

// pause waits, but no longer than the client does.
func (r *reader) pause(d time.Duration) {
	_ = r.conn.SetReadDeadline(time.Now().Add(d))
	var b [256]byte
	for {
		if _, err := r.conn.Read(b[:]); err != nil {
			return
		}
	}
}

func unexpected(state string, m protocol.Method) *protocol.Error {
	return &protocol.Error{
		Code: protocol.CodeChannelError, Text: "unexpected method in connection state " + state, Method: m.ID(),
	}
}

func (r *reader) serverProperties() protocol.Table {
	capabilities := protocol.Table{}
	for _, name := range []string{
		"publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify", "connection.blocked",
		"consumer_priorities", "authentication_failure_close", "per_consumer_qos", "direct_reply_to",
	} {
		capabilities = append(capabilities, protocol.Field{Key: name, Value: true})
	}
	return protocol.Table{
		{Key: "capabilities", Value: capabilities},
		{Key: "cluster_name", Value: r.env.Editor.Catalog().ClusterName(r.env.ClusterName)},
		{Key: "copyright", Value: "Copyright (c) the Warren authors"},
		{Key: "information", Value: "Licensed under the Apache License, Version 2.0"},
		{Key: "platform", Value: r.env.Platform},
		{Key: "product", Value: r.env.Product},
		{Key: "version", Value: r.env.Version},
	}
}

// tune agrees on the connection's limits. A client may lower what is offered, but not below what is of use.
func (r *reader) tune() error {
	r.write(0, &protocol.ConnectionTune{
		ChannelMax: r.env.ChannelMax, FrameMax: r.env.FrameMax, Heartbeat: r.env.Heartbeat,
	})
	m, err := r.next()
	if err != nil {
		return err
	}
	ok, is := m.(*protocol.ConnectionTuneOk)
	if !is {
		return unexpected("tuning", m)
	}
	if refusal := negotiate("channel_max", uint32(ok.ChannelMax), uint32(r.env.ChannelMax), 1); refusal != nil {
		return refusal
	}
	if refusal := negotiate("frame_max", ok.FrameMax, r.env.FrameMax, protocol.FrameMinSize); refusal != nil {
		return refusal
	}
	r.channelMax, r.frameMax = ok.ChannelMax, ok.FrameMax
	r.heartbeat = time.Duration(ok.Heartbeat) * time.Second
	return nil
}

func negotiate(name string, client, offered, lowest uint32) *protocol.Error {
	text := ""
	switch {
	case client == 0:
		text = fmt.Sprintf("negotiated %s = 0 (no limit) is higher than the maximum allowed value (%d)", name, offered)
	case client > offered:
		text = fmt.Sprintf("negotiated %s = %d is higher than the maximum allowed value (%d)", name, client, offered)
	case client < lowest:
		text = fmt.Sprintf("negotiated %s = %d is lower than the minimum allowed value (%d)", name, client, lowest)
	default:
		return nil
	}
	return &protocol.Error{Code: protocol.CodeNotAllowed, Text: text, Method: protocol.ConnectionTuneOkID}
}

// open enters the vhost.
func (r *reader) open() error {
	m, err := r.next()
	if err != nil {
		return err
	}
	wish, is := m.(*protocol.ConnectionOpen)
	if !is {
		return unexpected("opening", m)
	}
	if refusal := r.admit(wish.VirtualHost); refusal != nil {
		refusal.Method = m.ID()
		return refusal
	}
	r.vhost, r.totals = wish.VirtualHost, r.env.Registry.Board.VHost(wish.VirtualHost)
	r.publisher = dispatch.NewPublisher(r.door, r.principal, r.vhost, r.env.Editor.Catalog)
	r.publisher.Board = r.env.Registry.Board
	r.producer = producerID(r.client.producer, r.principal.Name(), r.vhost)
	r.tellOpened()
	r.write(0, &protocol.ConnectionOpenOk{})
	heartbeat := r.heartbeat
	r.writer.box.order(func(w *writer) { w.heartbeat, w.wrote = heartbeat, time.Now() })
	if !r.local {
		r.logger.Info().Str("user", r.principal.Name()).Str("vhost", r.vhost).Str("name", r.client.name).Msg("connection open")
	}
	return nil
}

// producerID makes a number of a producer's name, which is a user's own; 0 for none.
func producerID(name, user, vhost string) uint64 {
	if name == "" {
		return 0
	}
	sum := sha256.Sum256([]byte(strconv.Quote(user) + strconv.Quote(vhost) + name))
	return max(binary.BigEndian.Uint64(sum[:]), 1)
}

// admit checks what RabbitMQ checks, in its order.
func (r *reader) admit(vhost string) *protocol.Error {
	c := r.env.Editor.Catalog()
	if c.VHost(vhost) == nil {
		return protocol.Errorf(protocol.CodeNotAllowed, "vhost %s not found", vhost)
	}
	if refusal := r.env.Registry.enter(c, r.Session, vhost); refusal != nil {
		return refusal
	}
	c = r.env.Editor.Catalog() // from now on the registry tells of deletions; what went before is seen here
	if !r.principal.MayEnter(c, vhost) {
		return protocol.Errorf(protocol.CodeNotAllowed, "access to vhost '%s' refused for user '%s'", vhost, r.principal.Name())
	}
	return nil
}

// controlFrame handles a frame on channel 0 of an open connection.
func (r *reader) controlFrame(f protocol.Frame) error {
	switch f.Type {
	case protocol.FrameHeartbeat:
		return nil
	case protocol.FrameMethod:
	default:
		if !r.closing.Load() {
			r.refuse(protocol.UnexpectedFrame(f), 0)
		}
		return nil
	}
	m, err := protocol.DecodeMethod(f.Payload)
	switch m := m.(type) {
	case *protocol.ConnectionCloseOk:
		if r.closing.Load() {
			return errOver
		}
	case *protocol.ConnectionClose:
		return r.connectionClose()
	case *protocol.ConnectionUpdateSecret:
		if !r.closing.Load() {
			r.order(func(w *writer) { w.replyRaw(0, &protocol.ConnectionUpdateSecretOk{}) })
			return nil
		}
	default:
		_ = m
	}
	if r.closing.Load() {
		return nil
	}
	if err != nil {
		r.refuse(asRefusal(err), 0)
		return nil
	}
	r.refuse(unexpected("running", m), 0)
	return nil
}

// connectionClose ends the connection as the client wishes: what it held is given back and its exclusive queues are gone
// before close-ok.
func (r *reader) connectionClose() error {
	r.closing.Store(true)
	r.forgetAllReplies()
	r.before(func(w *writer) {
		w.teardown(func() { w.replyRaw(0, &protocol.ConnectionCloseOk{}) })
	})
	r.endBurst()
	select {
	case <-r.written:
	case <-time.After(lingerTime):
		r.logger.Warn().Msg("closing takes long")
	}
	return errOver
}
