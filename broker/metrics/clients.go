package metrics

import "github.com/warrenmq/warren/broker/stats"

func channelLabels(c *channelRow) string { return label("channel", c.name) }

func connectionLabels(c *connectionRow) string { return label("connection", c.Name) }

func exchangeLabels(x *exchangeRow) string { return label("vhost", x.vhost, "exchange", x.name) }

// counted is a count of a channel, and of the node.
func counted(name, help string, k stats.Kind) metric[channelRow] {
	return metric[channelRow]{
		name, counter, help, func(c *channelRow) float64 { return float64(c.Counts[k]) },
		func(all *picture) float64 { return float64(all.total[k]) },
	}
}

// channelFamilies are the numbers of channels. Their counters, added up, are those of channels that are closed too.
var channelFamilies = []family[channelRow]{
	{"channel_metrics", []metric[channelRow]{
		{"channel_consumers", gauge, "Consumers on a channel", func(c *channelRow) float64 { return float64(c.Consumers) }, nil},
		{"channel_messages_unacked", gauge, "Delivered but not yet acknowledged messages", func(c *channelRow) float64 { return float64(c.Unacked) }, nil},
		{"channel_messages_unconfirmed", gauge, "Published but not yet confirmed messages", func(c *channelRow) float64 { return float64(c.Unconfirmed) }, nil},
		{"channel_acks_uncommitted", gauge, "Acknowledgements in a transaction not yet committed", func(c *channelRow) float64 { return float64(c.UncommittedAcks) }, nil},
		{"consumer_prefetch", gauge, "Limit of unacknowledged messages for each consumer", func(c *channelRow) float64 { return float64(c.Prefetch) }, nil},
		{"channel_prefetch", gauge, "Limit of unacknowledged messages for all consumers of a channel", func(c *channelRow) float64 { return float64(c.Global) }, nil},
	}},
	{"channel_exchange_metrics", []metric[channelRow]{
		counted("channel_messages_published_total", "Messages published on a channel", stats.Publish),
		counted("channel_messages_confirmed_total", "Messages published on a channel and confirmed", stats.Confirm),
		counted("channel_messages_unroutable_returned_total", "Mandatory messages returned to the publisher because no queue took them", stats.ReturnUnroutable),
		counted("channel_messages_unroutable_dropped_total", "Messages dropped because no queue took them", stats.DropUnroutable),
	}},
	{"channel_queue_metrics", []metric[channelRow]{
		counted("channel_get_ack_total", "Messages fetched with basic.get, to be acknowledged", stats.Get),
		counted("channel_get_total", "Messages fetched with basic.get, acknowledged automatically", stats.GetNoAck),
		counted("channel_messages_delivered_ack_total", "Messages delivered to consumers, to be acknowledged", stats.Deliver),
		counted("channel_messages_delivered_total", "Messages delivered to consumers, acknowledged automatically", stats.DeliverNoAck),
		counted("channel_messages_redelivered_total", "Messages delivered once more", stats.Redeliver),
		counted("channel_messages_acked_total", "Messages acknowledged by consumers", stats.Ack),
		counted("channel_get_empty_total", "Calls of basic.get that fetched no message", stats.GetEmpty),
	}},
}

// connectionFamilies are the numbers of connections.
var connectionFamilies = []family[connectionRow]{
	{"connection_coarse_metrics", []metric[connectionRow]{
		{"connection_incoming_bytes_total", counter, "Bytes received on a connection", func(c *connectionRow) float64 { return float64(c.OctetsIn) },
			func(all *picture) float64 { return float64(all.total[stats.OctetsIn]) }},
		{"connection_outgoing_bytes_total", counter, "Bytes sent on a connection", func(c *connectionRow) float64 { return float64(c.OctetsOut) },
			func(all *picture) float64 { return float64(all.total[stats.OctetsOut]) }},
	}},
	{"connection_metrics", []metric[connectionRow]{
		{"connection_incoming_packets_total", counter, "Reads from a connection's socket", func(c *connectionRow) float64 { return float64(c.PacketsIn) }, nil},
		{"connection_outgoing_packets_total", counter, "Writes to a connection's socket", func(c *connectionRow) float64 { return float64(c.PacketsOut) }, nil},
		{"connection_channels", gauge, "Channels on a connection", func(c *connectionRow) float64 { return float64(c.Channels) }, nil},
	}},
}

// exchangeFamilies are the numbers of exchanges.
var exchangeFamilies = []family[exchangeRow]{
	{"exchange_metrics", []metric[exchangeRow]{
		{"exchange_messages_published_total", counter, "Messages published into an exchange", func(x *exchangeRow) float64 { return float64(x.counts[stats.PublishIn]) },
			func(all *picture) float64 { return float64(all.total[stats.Publish]) }},
	}},
}
