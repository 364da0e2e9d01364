package archive

import (
	"bufio"
	"encoding/json"
	"io"
	"unicode/utf8"

	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/protocol"
)

// line is a message as Export writes it. The body is in base64, as JSON has it for bytes.
type line struct {
	VHost       string         `json:"vhost"`
	Queue       string         `json:"queue"`
	Exchange    string         `json:"exchange"`
	RoutingKey  string         `json:"routing_key"`
	Redelivered bool           `json:"redelivered,omitempty"`
	Uncertain   bool           `json:"perhaps_settled,omitempty"`
	Properties  map[string]any `json:"properties"`
	Body        []byte         `json:"body"`
}

// Export writes every message that can be read as a line of JSON.
func Export(dir string, to io.Writer) (Result, error) {
	w := bufio.NewWriterSize(to, 1<<20)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	r, err := Read(dir, func(m *Message) error {
		return encoder.Encode(line{
			VHost: m.VHost, Queue: m.Queue, Exchange: string(m.Exchange), RoutingKey: string(m.RoutingKey),
			Redelivered: m.Flags&message.FlagRedelivered != 0, Uncertain: m.Uncertain, Properties: properties(m.Props), Body: m.Body,
		})
	})
	if err != nil {
		return r, err
	}
	return r, w.Flush()
}

// shortStrings are the properties that are short strings, by their names.
var shortStrings = []struct {
	name string
	get  func(protocol.Properties) ([]byte, bool)
}{
	{"content_type", protocol.Properties.ContentType},
	{"content_encoding", protocol.Properties.ContentEncoding},
	{"correlation_id", protocol.Properties.CorrelationID},
	{"reply_to", protocol.Properties.ReplyTo},
	{"expiration", protocol.Properties.Expiration},
	{"message_id", protocol.Properties.MessageID},
	{"type", protocol.Properties.Type},
	{"user_id", protocol.Properties.UserID},
	{"app_id", protocol.Properties.AppID},
	{"cluster_id", protocol.Properties.ClusterID},
}

// properties are AMQP's, by the names of the HTTP API. Those that cannot be parsed are given as they are.
func properties(raw []byte) map[string]any {
	p, err := protocol.ParseProperties(raw)
	if err != nil {
		return map[string]any{"raw": raw}
	}
	all := map[string]any{}
	for _, s := range shortStrings {
		if value, ok := s.get(p); ok {
			all[s.name] = text(value)
		}
	}
	if headers, ok := p.Headers(); ok {
		all["headers"] = table(headers)
	}
	if mode, ok := p.DeliveryMode(); ok {
		all["delivery_mode"] = mode
	}
	if priority, ok := p.Priority(); ok {
		all["priority"] = priority
	}
	if timestamp, ok := p.Timestamp(); ok {
		all["timestamp"] = timestamp
	}
	return all
}

func table(t protocol.RawTable) map[string]any {
	all := map[string]any{}
	t.Each(func(key []byte, v protocol.RawValue) bool {
		all[string(key)] = value(v)
		return true
	})
	return all
}

func value(v protocol.RawValue) any {
	if t, ok := v.Table(); ok {
		return table(t)
	}
	if a, ok := v.Array(); ok {
		list := []any{}
		a.Each(func(v protocol.RawValue) bool {
			list = append(list, value(v))
			return true
		})
		return list
	}
	if b, ok := v.Bytes(); ok {
		return text(b)
	}
	return v.Decode()
}

// text is a string where the bytes are one, else the bytes.
func text(b []byte) any {
	if utf8.Valid(b) {
		return string(b)
	}
	return map[string][]byte{"base64": b}
}
