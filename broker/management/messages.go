package management

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

// publish publishes one message and tells whether a queue took it.
func (q *request) publish() (answer, error) {
	x, err := q.exchange()
	if err != nil {
		return answer{}, missing("exchange_not_found")
	}
	body, err := q.body("routing_key", "properties", "payload", "payload_encoding")
	if err != nil {
		return answer{}, err
	}
	key, err := text(body, "routing_key", "")
	if err != nil {
		return answer{}, err
	}
	payload, err := readPayload(body)
	if err != nil {
		return answer{}, err
	}
	wish, isObject := body["properties"].(object)
	if none, isList := body["properties"].([]any); !isObject && (!isList || len(none) > 0) {
		return answer{}, badRequest([]any{"not_object", "properties"})
	}
	props, err := readProperties(wish)
	if err != nil {
		return answer{}, err
	}
	c, err := q.dial(x.VHost)
	if err != nil {
		return answer{}, err
	}
	defer c.close()
	routed, err := c.publish(x.Name, key, props, payload)
	if err != nil {
		return answer{}, onChannel(err)
	}
	return ok(object{"routed": routed})
}

func readPayload(body object) ([]byte, error) {
	payload, isText := body["payload"].(string)
	if !isText {
		return nil, badRequest("payload_not_string")
	}
	switch body["payload_encoding"] {
	case "string":
		return []byte(payload), nil
	case "base64":
		data, err := base64.StdEncoding.DecodeString(payload)
		if err != nil {
			return nil, badRequest([]any{"not_base64", payload})
		}
		return data, nil
	}
	return nil, badRequest([]any{"unsupported_encoding", body["payload_encoding"]})
}

var errRejected = badRequest("rejected Unable to publish message. Check queue limits.")

// publish waits until the message is where it shall be; routed is false if no queue takes it.
func (c *client) publish(exchange, key string, props protocol.Properties, payload []byte) (routed bool, err error) {
	if _, err := c.call(1, &protocol.ConfirmSelect{}); err != nil {
		return false, err
	}
	frames := protocol.AppendMethodFrame(nil, 1, &protocol.BasicPublish{
		Exchange: []byte(exchange), RoutingKey: []byte(key), Mandatory: true,
	})
	frames = protocol.AppendContent(frames, 1, props, payload, c.size)
	sent := make(chan error, 1) // while it is sent the broker may have something to say
	go func() {
		_, err := c.conn.Write(frames)
		sent <- err
	}()
	defer func() { <-sent }()
	routed = true
	for {
		m, err := c.next()
		if err != nil {
			return false, err
		}
		switch m.(type) {
		case *protocol.BasicReturn:
			routed = false
			if _, _, err := c.content(); err != nil {
				return false, err
			}
		case *protocol.BasicNack:
			return false, errRejected
		case *protocol.BasicAck:
			return routed, nil
		}
	}
}

// onChannel is a refusal on a channel as RabbitMQ tells it: with its code.
func onChannel(err error) error {
	var refusal *protocol.Error
	if errors.As(err, &refusal) {
		return badRequest(fmt.Sprintf("%d %s", refusal.Code, refusal.Text))
	}
	return err
}

// ackModes are the things that may be done with messages that were looked at.
var ackModes = []string{"ack_requeue_true", "ack_requeue_false", "reject_requeue_true", "reject_requeue_false"}

// Bounds on what one request takes out of a queue.
const (
	messagesMax     = 50_000
	messageBytesMax = 128 << 20
)

// getMessages takes messages out of a queue, and puts them back if that is wished.
func (q *request) getMessages() (answer, error) {
	one, err := q.queue()
	if err != nil {
		return answer{}, missing("queue_not_found")
	}
	body, err := q.body("ackmode", "count", "encoding")
	if err != nil {
		return answer{}, err
	}
	mode, _ := body["ackmode"].(string)
	if !slices.Contains(ackModes, mode) {
		return answer{}, badRequest(fmt.Sprintf("Invalid ackmode value: %v. Valid values are: %s", body["ackmode"], strings.Join(ackModes, ", ")))
	}
	encoding, _ := body["encoding"].(string)
	if encoding != "auto" && encoding != "base64" {
		return answer{}, badRequest("Unsupported encoding. Please use auto or base64.")
	}
	truncate := int64(-1)
	if value, given := body["truncate"]; given {
		if truncate, err = lenient(value); err != nil {
			return answer{}, err
		}
	}
	if refusal := one.Locked(topology.Owner{}); refusal != nil {
		return answer{}, badRequest(fmt.Sprintf("%d %s - %s", refusal.Code, protocol.Name(refusal.Code), refusal.Text))
	}
	count, err := lenient(body["count"])
	if err != nil {
		return answer{}, err
	}
	if count < 0 { // as RabbitMQ: all there are
		count = messagesMax
	}
	c, err := q.dial(one.VHost)
	if err != nil {
		return answer{}, err
	}
	defer c.close()
	found, err := c.get(one.Name, count, mode)
	if err != nil {
		return answer{}, mayNotRead(err)
	}
	all := make([]object, len(found))
	for i := range found {
		all[i] = found[i].object(encoding, truncate)
	}
	return ok(listOf(all))
}

// mayNotRead tells a missing permission apart from what else may go wrong on a channel.
func mayNotRead(err error) error {
	var refusal *protocol.Error
	if errors.As(err, &refusal) && refusal.Code == protocol.CodeAccessRefused {
		return unauthorised(refusal.Text)
	}
	return onChannel(err)
}

// found is a message that was taken out of a queue.
type found struct {
	head  protocol.BasicGetOk
	props protocol.Properties
	body  []byte
}

// get takes up to count messages and then does with all of them what mode says.
func (c *client) get(queue string, count int64, mode string) (all []found, err error) {
	bytes := 0
	for int64(len(all)) < min(count, messagesMax) && bytes < messageBytesMax {
		m, err := c.call(1, &protocol.BasicGet{Queue: queue, NoAck: mode == "ack_requeue_false"})
		if err != nil {
			return nil, err
		}
		head, there := m.(*protocol.BasicGetOk)
		if !there {
			break
		}
		one := found{head: *head}
		if one.props, one.body, err = c.content(); err != nil {
			return nil, err
		}
		bytes += len(one.body)
		all = append(all, one)
	}
	return all, c.giveBack(all, mode)
}

func (c *client) giveBack(all []found, mode string) error {
	if len(all) == 0 || mode == "ack_requeue_false" {
		return nil
	}
	if mode == "ack_requeue_true" {
		return c.send(1, &protocol.BasicNack{DeliveryTag: all[len(all)-1].head.DeliveryTag, Multiple: true, Requeue: true})
	}
	for i := range all {
		m := &protocol.BasicReject{DeliveryTag: all[i].head.DeliveryTag, Requeue: mode == "reject_requeue_true"}
		if err := c.send(1, m); err != nil {
			return err
		}
	}
	return nil
}

func (f *found) object(encoding string, truncate int64) object {
	payload := f.body
	if truncate >= 0 && int64(len(payload)) > truncate {
		payload = payload[:truncate]
	}
	o := object{
		"payload_bytes": len(f.body), "redelivered": f.head.Redelivered, "exchange": readable(f.head.Exchange),
		"routing_key": readable(f.head.RoutingKey), "message_count": f.head.MessageCount,
		"properties": propertiesObject(f.props), "payload": string(payload), "payload_encoding": "string",
	}
	if encoding == "base64" || !utf8.Valid(payload) {
		o["payload"], o["payload_encoding"] = base64.StdEncoding.EncodeToString(payload), "base64"
	}
	return o
}

// purgeQueue drops the messages of a queue.
func (q *request) purgeQueue() (answer, error) {
	return q.onQueue(topology.Read, func(c *client, name string) error {
		_, err := c.call(1, &protocol.QueuePurge{Queue: name})
		return err
	})
}

// deleteQueue deletes a queue, under conditions if they are given.
func (q *request) deleteQueue() (answer, error) {
	return q.onQueue(topology.Configure, func(c *client, name string) error {
		_, err := c.call(1, &protocol.QueueDelete{Queue: name, IfEmpty: q.asked("if-empty"), IfUnused: q.asked("if-unused")})
		return err
	})
}

// onQueue does something with the queue of the path over AMQP.
func (q *request) onQueue(o topology.Operation, do func(c *client, name string) error) (answer, error) {
	one, err := q.queue()
	if err != nil {
		return answer{}, err
	}
	if refusal := q.principal.Authorize(q.catalog, one.VHost, o, "queue", one.Name); refusal != nil {
		return answer{}, errRefused
	}
	if refusal := one.Locked(topology.Owner{}); refusal != nil { // here, because AMQP cuts long texts
		return answer{}, refused(refusal)
	}
	c, err := q.dial(one.VHost)
	if err != nil {
		return answer{}, err
	}
	defer c.close()
	if err := do(c, one.Name); err != nil {
		return answer{}, withoutName(err)
	}
	return done()
}

// withoutName drops the name of the code from a refusal that came over AMQP.
func withoutName(err error) error {
	var refusal *protocol.Error
	if !errors.As(err, &refusal) {
		return err
	}
	return refused(&protocol.Error{Code: refusal.Code, Text: strings.TrimPrefix(refusal.Text, protocol.Name(refusal.Code)+" - ")})
}
