package management

import (
	"encoding/json"
	"math"
	"sort"
	"strconv"
	"unicode/utf8"

	"github.com/warrenmq/warren/protocol"
)

// tableObject shows a field table as JSON.
func tableObject(t protocol.Table) object {
	o := make(object, len(t))
	for _, f := range t {
		if _, twice := o[f.Key]; !twice {
			o[f.Key] = fieldValue(f.Value)
		}
	}
	return o
}

// fieldValue shows a value of a field table. What JSON has no form for gets the one RabbitMQ gives it.
func fieldValue(value any) any {
	switch v := value.(type) {
	case nil:
		return "undefined"
	case protocol.Table:
		return tableObject(v)
	case protocol.Array:
		out := make([]any, len(v))
		for i, element := range v {
			out[i] = fieldValue(element)
		}
		return out
	case protocol.Decimal: // RabbitMQ prints the two numbers one behind the other
		return json.Number(strconv.Itoa(int(v.Scale)) + "." + strconv.FormatUint(uint64(v.Value), 10))
	case protocol.Timestamp:
		return uint64(v)
	case []byte:
		return string(v)
	case float32:
		return jsonFloat(float64(v))
	case float64:
		return jsonFloat(v)
	}
	return value
}

func jsonFloat(f float64) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	return float(f)
}

// readTable makes a field table of a JSON object: integers become long, fractions double.
func readTable(o object) (protocol.Table, error) {
	keys := make([]string, 0, len(o))
	for key := range o {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	t := make(protocol.Table, 0, len(o))
	for _, key := range keys {
		if len(key) > math.MaxUint8 {
			return nil, badRequest("a name of more than 255 octets")
		}
		value, err := readField(o[key])
		if err != nil {
			return nil, err
		}
		t = append(t, protocol.Field{Key: key, Value: value})
	}
	return t, nil
}

func readField(value any) (any, error) {
	switch v := value.(type) {
	case nil:
		return nil, badRequest("null_not_allowed")
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n, nil
		}
		f, err := v.Float64()
		if err != nil {
			return nil, badRequest("a number that is too large: " + v.String())
		}
		return f, nil
	case object:
		return readTable(v)
	case []any:
		out := make(protocol.Array, len(v))
		for i, element := range v {
			var err error
			if out[i], err = readField(element); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return value, nil // a string or a boolean
}

// arguments reads the arguments in a body; an empty list is as good as an empty object.
func arguments(body object) (protocol.RawTable, error) {
	switch v := body["arguments"].(type) {
	case nil:
		return nil, nil
	case object:
		t, err := readTable(v)
		return t.Raw(), err
	case []any:
		if len(v) == 0 {
			return nil, nil
		}
	}
	return nil, badRequest("arguments should be an object")
}

// property is a message property: its name in JSON, and how it is written and read.
type property struct {
	name string
	flag protocol.PropertyFlags
	text func(protocol.Properties) ([]byte, bool) // nil: it is no string
}

// properties are in the order of the wire.
var properties = []property{
	{"content_type", protocol.FlagContentType, protocol.Properties.ContentType},
	{"content_encoding", protocol.FlagContentEncoding, protocol.Properties.ContentEncoding},
	{"headers", protocol.FlagHeaders, nil},
	{"delivery_mode", protocol.FlagDeliveryMode, nil},
	{"priority", protocol.FlagPriority, nil},
	{"correlation_id", protocol.FlagCorrelationID, protocol.Properties.CorrelationID},
	{"reply_to", protocol.FlagReplyTo, protocol.Properties.ReplyTo},
	{"expiration", protocol.FlagExpiration, protocol.Properties.Expiration},
	{"message_id", protocol.FlagMessageID, protocol.Properties.MessageID},
	{"timestamp", protocol.FlagTimestamp, nil},
	{"type", protocol.FlagType, protocol.Properties.Type},
	{"user_id", protocol.FlagUserID, protocol.Properties.UserID},
	{"app_id", protocol.FlagAppID, protocol.Properties.AppID},
	{"cluster_id", protocol.FlagClusterID, protocol.Properties.ClusterID},
}

// readProperties encodes the properties of a message from JSON.
func readProperties(o object) (protocol.Properties, error) {
	var flags protocol.PropertyFlags
	var values []byte
	for i := range properties {
		p := &properties[i]
		value, given := o[p.name]
		if !given {
			continue
		}
		var err error
		if values, err = p.append(values, value); err != nil {
			return nil, err
		}
		flags |= p.flag
	}
	return append([]byte{byte(flags >> 8), byte(flags)}, values...), nil
}

// append encodes one property.
func (p *property) append(dst []byte, value any) ([]byte, error) {
	switch p.flag {
	case protocol.FlagHeaders:
		o, isObject := value.(object)
		if !isObject {
			return nil, badRequest([]any{"not_object", p.name})
		}
		t, err := readTable(o)
		if err != nil {
			return nil, err
		}
		raw := t.Raw()
		n := uint32(len(raw))
		return append(append(dst, byte(n>>24), byte(n>>16), byte(n>>8), byte(n)), raw...), nil
	case protocol.FlagDeliveryMode, protocol.FlagPriority:
		n, isInteger := integer(value)
		if !isInteger || n < 0 || n > math.MaxUint8 {
			return nil, badRequest([]any{"not_int", p.name})
		}
		return append(dst, byte(n)), nil
	case protocol.FlagTimestamp:
		n, isInteger := integer(value)
		if !isInteger {
			return nil, badRequest([]any{"not_int", p.name})
		}
		for shift := 56; shift >= 0; shift -= 8 {
			dst = append(dst, byte(uint64(n)>>shift))
		}
		return dst, nil
	}
	s, isText := value.(string)
	if !isText || len(s) > math.MaxUint8 {
		return nil, badRequest([]any{"not_string", p.name})
	}
	return append(append(dst, byte(len(s))), s...), nil
}

// propertiesObject shows the properties of a message; none are an empty list, as RabbitMQ has it.
func propertiesObject(raw protocol.Properties) any {
	o := object{}
	for i := range properties {
		p := &properties[i]
		if raw.Flags()&p.flag == 0 {
			continue
		}
		switch p.flag {
		case protocol.FlagHeaders:
			headers, _ := raw.Headers()
			o[p.name] = tableObject(headers.Decode())
		case protocol.FlagDeliveryMode:
			o[p.name], _ = raw.DeliveryMode()
		case protocol.FlagPriority:
			o[p.name], _ = raw.Priority()
		case protocol.FlagTimestamp:
			o[p.name], _ = raw.Timestamp()
		default:
			value, _ := p.text(raw)
			o[p.name] = readable(value)
		}
	}
	if len(o) == 0 {
		return []any{}
	}
	return o
}

// readable makes octets a string that JSON can hold.
func readable(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return string(runes)
}
