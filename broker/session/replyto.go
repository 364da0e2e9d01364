package session

import (
	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

// rewriteReplyTo replaces the name of the direct reply-to pseudo-queue by the one generated for the channel.
func (r *reader) rewriteReplyTo(c *channel, m *message.Message, to []byte) *protocol.Error {
	if string(to) != topology.DirectReplyTo {
		return nil
	}
	if c.replyConsumer == "" {
		return protocol.PreconditionFailed("fast reply consumer does not exist")
	}
	m.Props = protocol.AppendWithShortstr(nil, protocol.Properties(m.Props), protocol.FlagReplyTo, []byte(c.replyConsumer))
	return nil
}
