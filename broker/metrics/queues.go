package metrics

import (
	"strconv"

	"github.com/warrenmq/warren/broker/stats"
)

func queueLabels(q *queueRow) string { return label("vhost", q.VHost, "queue", q.Name) }

// held is what is in memory of a kind of queue: streams keep nothing there.
func (q *queueRow) unlessStream(n float64) float64 {
	if q.Type == "stream" {
		return 0
	}
	return n
}

// lasting is a number of messages, 0 for a queue that is not durable.
func (q *queueRow) lasting(n float64) float64 {
	if !q.Durable {
		return 0
	}
	return n
}

func (q *queueRow) messages() float64 { return float64(q.info.Ready + q.info.Unacked) }

func (q *queueRow) bytes() float64 { return float64(q.info.ReadyBytes + q.info.UnackedBytes) }

// capacity is the share of the consumers that have room now, and the whole if no message waits.
func (q *queueRow) capacity() float64 {
	switch i := &q.info; {
	case i.Open == 0:
		return 0
	case i.Ready == 0:
		return 1
	default:
		return float64(i.Open) / float64(i.Consumers)
	}
}

// overTypes adds up what queues of all types, also those that are no more, have counted.
func overTypes(k stats.Kind) func(*picture) float64 {
	return func(all *picture) (sum float64) {
		for t := range all.types {
			sum += float64(all.types[t][k])
		}
		return sum
	}
}

// queueFamilies are the numbers of queues.
var queueFamilies = []family[queueRow]{
	{"queue_coarse_metrics", []metric[queueRow]{
		{"queue_messages_ready", gauge, "Messages ready to be delivered to consumers", func(q *queueRow) float64 { return float64(q.info.Ready) }, nil},
		{"queue_messages_unacked", gauge, "Messages delivered to consumers but not yet acknowledged", func(q *queueRow) float64 { return float64(q.info.Unacked) }, nil},
		{"queue_messages", gauge, "Ready and unacknowledged messages", (*queueRow).messages, nil},
	}},
	{"queue_consumer_count", []metric[queueRow]{
		{"queue_consumers", gauge, "Consumers of a queue", func(q *queueRow) float64 { return float64(q.info.Consumers) }, nil},
	}},
	{"queue_metrics", []metric[queueRow]{
		{"queue_consumer_capacity", gauge, "Share of the consumers that have room for a message", (*queueRow).capacity, nil},
		{"queue_consumer_utilisation", gauge, "Same as consumer capacity", (*queueRow).capacity, nil},
		{"queue_process_memory_bytes", gauge, "Memory that a queue takes, without bodies", func(q *queueRow) float64 { return float64(q.info.MemoryBytes()) }, nil},
		{"queue_messages_ram", gauge, "Ready and unacknowledged messages that memory knows of", func(q *queueRow) float64 { return q.unlessStream(q.messages()) }, nil},
		{"queue_messages_ram_bytes", gauge, "Size of these messages", func(q *queueRow) float64 { return q.unlessStream(q.bytes()) }, nil},
		{"queue_messages_ready_ram", gauge, "Ready messages that memory knows of", func(q *queueRow) float64 { return q.unlessStream(float64(q.info.Ready)) }, nil},
		{"queue_messages_unacked_ram", gauge, "Unacknowledged messages that memory knows of", func(q *queueRow) float64 { return q.unlessStream(float64(q.info.Unacked)) }, nil},
		{"queue_messages_persistent", gauge, "Messages in a durable queue", func(q *queueRow) float64 { return q.lasting(q.messages()) }, nil},
		{"queue_messages_persistent_bytes", gauge, "Size of the messages in a durable queue", func(q *queueRow) float64 { return q.lasting(q.bytes()) }, nil},
		{"queue_messages_bytes", gauge, "Size of ready and unacknowledged messages", (*queueRow).bytes, nil},
		{"queue_messages_ready_bytes", gauge, "Size of ready messages", func(q *queueRow) float64 { return float64(q.info.ReadyBytes) }, nil},
		{"queue_messages_unacked_bytes", gauge, "Size of unacknowledged messages", func(q *queueRow) float64 { return float64(q.info.UnackedBytes) }, nil},
		{"stream_segments", counter, "Stretches of the log that a stream has", func(q *queueRow) float64 { return float64(q.info.Segments) }, nil},
	}},
	{"queue_delivery_metrics", []metric[queueRow]{
		{"queue_get_ack_total", counter, "Messages fetched from a queue with basic.get, to be acknowledged", func(q *queueRow) float64 { return float64(q.info.Stats.Got) }, overTypes(stats.Get)},
		{"queue_get_total", counter, "Messages fetched from a queue with basic.get, acknowledged automatically", func(q *queueRow) float64 { return float64(q.info.Stats.GotNoAck) }, overTypes(stats.GetNoAck)},
		{"queue_messages_delivered_ack_total", counter, "Messages delivered from a queue to consumers, to be acknowledged", func(q *queueRow) float64 { return float64(q.info.Stats.Delivered) }, overTypes(stats.Deliver)},
		{"queue_messages_delivered_total", counter, "Messages delivered from a queue to consumers, acknowledged automatically", func(q *queueRow) float64 { return float64(q.info.Stats.DeliveredNoAck) }, overTypes(stats.DeliverNoAck)},
		{"queue_messages_redelivered_total", counter, "Messages delivered from a queue once more", func(q *queueRow) float64 { return float64(q.info.Stats.Redelivered) }, overTypes(stats.Redeliver)},
		{"queue_messages_acked_total", counter, "Messages of a queue that consumers acknowledged", func(q *queueRow) float64 { return float64(q.info.Stats.Acked) }, overTypes(stats.Ack)},
		{"queue_get_empty_total", counter, "Calls of basic.get that found the queue empty", func(q *queueRow) float64 { return float64(q.info.Stats.GotEmpty) }, overTypes(stats.GetEmpty)},
	}},
	{"channel_queue_exchange_metrics", []metric[queueRow]{
		{"queue_messages_published_total", counter, "Messages that came into a queue", func(q *queueRow) float64 { return float64(q.info.Stats.Published) },
			func(all *picture) float64 { return float64(all.board.Flow.Routed.Load()) }},
	}},
}

// queueInfo tells the types of queues.
func queueInfo(p *page, prefix string, rows []queueRow) {
	p.head(prefix+"queue_info", gauge, "A metric with a constant '1' value and labels that provide some queue details")
	for i := range rows {
		q := &rows[i]
		p.series(prefix+"queue_info", label("vhost", q.VHost, "queue", q.Name, "queue_type", erlangTypes[stats.QueueTypeOf(q.Type)], "membership", "leader"), 1)
	}
}

// erlangTypes are RabbitMQ's names for the types of queues, in labels.
var erlangTypes = [stats.QueueTypes]string{"rabbit_classic_queue", "rabbit_quorum_queue", "rabbit_stream_queue"}

func channelName(connection string, number uint16) string {
	return connection + " (" + strconv.Itoa(int(number)) + ")"
}
