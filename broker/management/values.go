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

// readTable makes a field table of a JSON object: integers become long, fractions double. What could not come over AMQP is
// refused: tables that lie too deep in each other, or are larger than a frame.
func readTable(o object) (protocol.Table, error) {
	t, err := readTableAt(o, 1)
	if err == nil && len(t.Raw()) > tableMax {
		return nil, badRequest("a table of more than " + strconv.Itoa(tableMax) + " octets")
	}
	return t, err
}

// tableMax is the largest table, in octets: it has to fit into the largest frame that clients get.
const tableMax = 128 << 10

func readTableAt(o object, depth int) (protocol.Table, error) {
	if depth > protocol.TableDepthMax {
		return nil, errTooDeep
	}
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
		value, err := readField(o[key], depth+1)
		if err != nil {
			return nil, err
		}
		t = append(t, protocol.Field{Key: key, Value: value})
	}
	return t, nil
}

var errTooDeep = badRequest("tables and lists lie too deep in each other")

// readField makes a field's value; depth is that of a table or list that it may be.
func readField(value any, depth int) (any, error) {
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
		return readTableAt(v, depth)
	case []any:
		if depth > protocol.TableDepthMax {
			return nil, errTooDeep
		}
		out := make(protocol.Array, len(v))
		for i, element := range v {
			var err error
			if out[i], err = readField(element, depth+1); err != nil {
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

// property is a message property: its name in JSON, and where its text is.
type property struct {
	name string
	flag protocol.PropertyFlags
	text func(*protocol.PropertyList) *string // nil: it is no string
}

var properties = []property{
	{"content_type", protocol.FlagContentType, func(l *protocol.PropertyList) *string { return &l.ContentType }},
	{"content_encoding", protocol.FlagContentEncoding, func(l *protocol.PropertyList) *string { return &l.ContentEncoding }},
	{"headers", protocol.FlagHeaders, nil},
	{"delivery_mode", protocol.FlagDeliveryMode, nil},
	{"priority", protocol.FlagPriority, nil},
	{"correlation_id", protocol.FlagCorrelationID, func(l *protocol.PropertyList) *string { return &l.CorrelationID }},
	{"reply_to", protocol.FlagReplyTo, func(l *protocol.PropertyList) *string { return &l.ReplyTo }},
	{"expiration", protocol.FlagExpiration, func(l *protocol.PropertyList) *string { return &l.Expiration }},
	{"message_id", protocol.FlagMessageID, func(l *protocol.PropertyList) *string { return &l.MessageID }},
	{"timestamp", protocol.FlagTimestamp, nil},
	{"type", protocol.FlagType, func(l *protocol.PropertyList) *string { return &l.Type }},
	{"user_id", protocol.FlagUserID, func(l *protocol.PropertyList) *string { return &l.UserID }},
	{"app_id", protocol.FlagAppID, func(l *protocol.PropertyList) *string { return &l.AppID }},
	{"cluster_id", protocol.FlagClusterID, func(l *protocol.PropertyList) *string { return &l.ClusterID }},
}

// readProperties encodes the properties of a message from JSON.
func readProperties(o object) (protocol.Properties, error) {
	var l protocol.PropertyList
	for i := range properties {
		p := &properties[i]
		value, given := o[p.name]
		if !given {
			continue
		}
		if err := p.read(&l, value); err != nil {
			return nil, err
		}
		l.Present |= p.flag
	}
	return l.Append(nil), nil
}

// read reads one property.
func (p *property) read(l *protocol.PropertyList, value any) error {
	n, isInteger := integer(value)
	switch p.flag {
	case protocol.FlagHeaders:
		o, isObject := value.(object)
		if !isObject {
			return badRequest([]any{"not_object", p.name})
		}
		t, err := readTable(o)
		l.Headers = t.Raw()
		return err
	case protocol.FlagDeliveryMode, protocol.FlagPriority:
		if !isInteger || n < 0 || n > math.MaxUint8 {
			return badRequest([]any{"not_int", p.name})
		}
		if p.flag == protocol.FlagPriority {
			l.Priority = uint8(n)
		} else {
			l.DeliveryMode = uint8(n)
		}
		return nil
	case protocol.FlagTimestamp:
		if !isInteger {
			return badRequest([]any{"not_int", p.name})
		}
		l.Timestamp = uint64(n)
		return nil
	}
	s, isText := value.(string)
	if !isText || len(s) > math.MaxUint8 {
		return badRequest([]any{"not_string", p.name})
	}
	*p.text(l) = s
	return nil
}

// propertiesObject shows the properties of a message; none are an empty list, as RabbitMQ has it.
func propertiesObject(raw protocol.Properties) any {
	l := raw.Decode()
	o := object{}
	for i := range properties {
		p := &properties[i]
		if l.Present&p.flag == 0 {
			continue
		}
		switch p.flag {
		case protocol.FlagHeaders:
			o[p.name] = tableObject(l.Headers.Decode())
		case protocol.FlagDeliveryMode:
			o[p.name] = l.DeliveryMode
		case protocol.FlagPriority:
			o[p.name] = l.Priority
		case protocol.FlagTimestamp:
			o[p.name] = l.Timestamp
		default:
			o[p.name] = readable([]byte(*p.text(&l)))
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
