package session

import (
	"github.com/warrenmq/warren/protocol"
)

// method handles a method on an open channel.
func (r *reader) method(c *channel, id protocol.MethodID, args []byte) error {
	switch id {
	case protocol.BasicPublishID:
		return r.basicPublish(c, args)
	case protocol.BasicAckID, protocol.BasicNackID, protocol.BasicRejectID:
		if err := r.acknowledge(c, id, args); err != nil {
			r.refuse(asRefusal(err), id)
		}
		return nil
	}
	m, err := protocol.NewMethod(id)
	if err != nil {
		r.refuse(asRefusal(err), id)
		return nil
	}
	if err := m.Decode(args); err != nil {
		r.refuse(asRefusal(err), 0) // it names the method itself, where RabbitMQ does
		return nil
	}
	r.other(c, m)
	return nil
}

// other handles what is not on the hot path, a room at a time.
func (r *reader) other(c *channel, m protocol.Method) {
	switch m := m.(type) {
	case *protocol.ChannelOpen:
		r.refuse(protocol.Errorf(protocol.CodeChannelError, "second 'channel.open' seen"), m.ID())
	case *protocol.ChannelClose:
		r.channelClose(c)
	case *protocol.ChannelFlow:
		r.channelFlow(c, m)
	case *protocol.AccessRequest:
		r.reply(c, &protocol.AccessRequestOk{Ticket: 1})
	case *protocol.ExchangeDeclare:
		r.exchangeDeclare(c, m)
	case *protocol.ExchangeDelete:
		r.exchangeDelete(c, m)
	case *protocol.ExchangeBind:
		r.exchangeBind(c, m)
	case *protocol.ExchangeUnbind:
		r.exchangeUnbind(c, m)
	default:
		r.queueMethod(c, m)
	}
}

func (r *reader) queueMethod(c *channel, m protocol.Method) {
	switch m := m.(type) {
	case *protocol.QueueDeclare:
		r.queueDeclare(c, m)
	case *protocol.QueueDelete:
		r.queueDelete(c, m)
	case *protocol.QueuePurge:
		r.queuePurge(c, m)
	case *protocol.QueueBind:
		r.queueBind(c, m)
	case *protocol.QueueUnbind:
		r.queueUnbind(c, m)
	default:
		r.basicMethod(c, m)
	}
}

func (r *reader) basicMethod(c *channel, m protocol.Method) {
	switch m := m.(type) {
	case *protocol.BasicQos:
		r.basicQos(c, m)
	case *protocol.BasicConsume:
		r.basicConsume(c, m)
	case *protocol.BasicCancel:
		r.basicCancel(c, m)
	case *protocol.BasicGet:
		r.basicGet(c, m)
	case *protocol.BasicRecover:
		r.basicRecover(c, m.Requeue, m.ID(), true)
	case *protocol.BasicRecoverAsync:
		r.basicRecover(c, m.Requeue, m.ID(), false)
	case *protocol.ConfirmSelect:
		r.confirmSelect(c, m)
	case *protocol.TxSelect:
		r.txSelect(c)
	case *protocol.TxCommit:
		r.txCommit(c)
	case *protocol.TxRollback:
		r.txRollback(c)
	default:
		r.refuse(protocol.Errorf(protocol.CodeCommandInvalid, "unimplemented method"), m.ID())
	}
}

// reply answers the client, behind everything that was answered before on the channel.
func (r *reader) reply(c *channel, m protocol.Method) {
	r.order(func(w *writer) { w.reply(c.number, m) })
}

func (r *reader) channelClose(c *channel) {
	c.content = content{}
	r.before(func(w *writer) { w.closeOutlet(c) })
	r.dropChannel(c)
}

func (r *reader) channelFlow(c *channel, m *protocol.ChannelFlow) {
	if !m.Active {
		r.refuse(protocol.Errorf(protocol.CodeNotImplemented, "active=false"), m.ID())
		return
	}
	r.reply(c, &protocol.ChannelFlowOk{Active: true})
}

func (r *reader) basicQos(c *channel, m *protocol.BasicQos) {
	if m.PrefetchSize != 0 {
		r.refuse(protocol.Errorf(protocol.CodeNotImplemented, "prefetch_size!=0 (%d)", m.PrefetchSize), m.ID())
		return
	}
	limit := m.PrefetchCount
	if m.Global && r.env.GlobalQoS {
		c.globalPrefetch = limit
	} else {
		c.prefetch, c.globalPrefetch, limit = limit, 0, 0
	}
	c.tally.prefetch.Store(uint32(c.prefetch))
	c.tally.global.Store(uint32(c.globalPrefetch))
	r.before(func(w *writer) {
		w.limitOutlet(c.number, limit)
		w.reply(c.number, &protocol.BasicQosOk{})
	})
}

func (r *reader) confirmSelect(c *channel, m *protocol.ConfirmSelect) {
	if c.tx != nil {
		r.fail(c, protocol.PreconditionFailed("cannot switch from tx to confirm mode"), m.ID())
		return
	}
	c.confirm = true
	c.tally.confirm.Store(true)
	if !m.NoWait {
		r.reply(c, &protocol.ConfirmSelectOk{})
	}
}

// acknowledge notes an acknowledgement for the writer.
func (r *reader) acknowledge(c *channel, id protocol.MethodID, args []byte) error {
	a := ack{channel: c.number, method: id}
	switch id {
	case protocol.BasicAckID:
		if err := r.ack.Decode(args); err != nil {
			return err
		}
		a.tag, a.multiple = r.ack.DeliveryTag, r.ack.Multiple
	case protocol.BasicNackID:
		if err := r.nack.Decode(args); err != nil {
			return err
		}
		a.tag, a.multiple, a.requeue = r.nack.DeliveryTag, r.nack.Multiple, r.nack.Requeue
	default:
		if err := r.reject.Decode(args); err != nil {
			return err
		}
		a.tag, a.requeue = r.reject.DeliveryTag, r.reject.Requeue
	}
	r.acks = append(r.acks, a)
	return nil
}

// basicRecover puts everything unacknowledged on the channel back.
func (r *reader) basicRecover(c *channel, requeue bool, id protocol.MethodID, answer bool) {
	if !requeue {
		r.refuse(protocol.Errorf(protocol.CodeNotImplemented, "requeue=false"), id)
		return
	}
	r.before(func(w *writer) {
		w.recoverOutlet(c.number)
		if answer {
			w.reply(c.number, &protocol.BasicRecoverOk{})
		}
	})
}
