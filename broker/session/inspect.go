package session

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/broker/routing"
	"github.com/warrenmq/warren/protocol"
)

// inspected are the properties that need a look beyond delivery mode and priority.
const inspected = protocol.FlagHeaders | protocol.FlagReplyTo | protocol.FlagExpiration | protocol.FlagUserID

// resolve checks a message in RabbitMQ's order, completes its head, and finds its route.
func (r *reader) resolve(c *channel, m *message.Message) (*routing.Route, *protocol.Error) {
	if c.content.Immediate {
		return nil, protocol.Errorf(protocol.CodeNotImplemented, "immediate=true")
	}
	x, refusal := r.publisher.Exchange(m.Exchange)
	if refusal != nil {
		return nil, refusal
	}
	properties := protocol.Properties(m.Props)
	flags := properties.Flags()
	if mode, ok := properties.DeliveryMode(); ok && mode == 2 {
		m.Flags |= message.FlagPersistent
	}
	if priority, ok := properties.Priority(); ok {
		m.Priority = min(priority, message.NoPriority-1)
	}
	var more []string
	if flags&inspected != 0 {
		if more, refusal = r.inspect(c, x.Type, m); refusal != nil {
			return nil, refusal
		}
	}
	route, refusal := r.publisher.Route(m.RoutingKey, more, protocol.Properties(m.Props))
	if refusal == nil && route.Held {
		holdFor(m)
	}
	return route, refusal
}

// holdFor notes how long an exchange with a memory holds a message, or remembers its key.
func holdFor(m *message.Message) {
	headers, _ := protocol.Properties(m.Props).Headers()
	ms, delayed := routing.Delay(headers)
	if !delayed {
		ms = routing.CacheTTL(headers)
	}
	if ms > 0 {
		m.Flags |= message.FlagDelay
		m.Delay = ms
	}
}

// inspect looks at the properties that change what happens to a message. It gives further routing keys.
func (r *reader) inspect(c *channel, _ string, m *message.Message) (more []string, refusal *protocol.Error) {
	properties := protocol.Properties(m.Props)
	if to, ok := properties.ReplyTo(); ok {
		if refusal := r.rewriteReplyTo(c, m, to); refusal != nil {
			return nil, refusal
		}
	}
	if text, ok := properties.Expiration(); ok {
		if refusal := readExpiration(m, text); refusal != nil {
			return nil, refusal
		}
	}
	if headers, ok := properties.Headers(); ok {
		if hasDuplicates(headers) {
			headers = dropDuplicates(headers)
			m.Props = protocol.AppendWithHeaders(nil, properties, headers)
		}
		r.readHeaders(headers, m)
		if more, refusal = senderKeys(headers, m); refusal != nil {
			return nil, refusal
		}
	}
	if id, ok := properties.UserID(); ok && string(id) != r.principal.Name() {
		if !r.principal.HasTag(r.env.Editor.Catalog(), "impersonator") {
			return nil, protocol.PreconditionFailed("user_id property set to '%s' but authenticated user was '%s'", id, r.principal.Name())
		}
	}
	return more, nil
}

// readHeaders notes what queues and streams will want to know.
func (r *reader) readHeaders(headers protocol.RawTable, m *message.Message) {
	for key, value := range headers.Each {
		switch string(key) {
		case "x-deduplication-header":
			if m.Dedup = routing.Key(headers); m.Dedup != nil {
				m.Flags |= message.FlagDedup
				r.settle() // an acknowledged message holds its key no longer
			}
		case "x-stream-filter-value":
			if text, ok := value.Bytes(); ok && len(text) > 0 {
				m.Flags |= message.FlagFilter
				m.Filter = filterValue(text)
			}
		case "x-producer-seq":
			if n, ok := value.Int(); ok && n > 0 && r.producer != 0 {
				m.Flags |= message.FlagProducer
				m.Producer, m.Sequence = r.producer, uint64(n)
			}
		}
	}
}

// expirationMax is the longest expiration, in milliseconds.
const expirationMax = 315360000000

// readExpiration parses the expiration property: decimal milliseconds.
func readExpiration(m *message.Message, text []byte) *protocol.Error {
	s := string(text)
	digits := strings.TrimLeft(s, "+-")
	end := 0
	for end < len(digits) && digits[end] >= '0' && digits[end] <= '9' {
		end++
	}
	if end == 0 || len(s)-len(digits) > 1 {
		return protocol.PreconditionFailed("invalid expiration '%s': no_integer", s)
	}
	if rest := digits[end:]; rest != "" {
		return badExpiration(s, "leftover_string", strconv.Quote(rest))
	}
	n, _ := new(big.Int).SetString(digits, 10)
	switch {
	case s[0] == '-' && n.Sign() > 0:
		return badExpiration(s, "value_negative", "-"+n.String())
	case n.Cmp(big.NewInt(expirationMax)) > 0:
		return badExpiration(s, "value_too_large", n.String())
	}
	m.Flags |= message.FlagExpiration
	m.Expiration = n.Uint64()
	if plain := n.String(); plain != s {
		m.Props = protocol.AppendWithShortstr(nil, protocol.Properties(m.Props), protocol.FlagExpiration, []byte(plain))
	}
	return nil
}

// erlangColumns is how far a pair of Erlang's goes in a line: one that is longer goes on in the next.
const erlangColumns = 78

func badExpiration(s, what, value string) *protocol.Error {
	text := fmt.Sprintf("invalid expiration '%s': ", s)
	between := ""
	if column := utf8.RuneCountInString(text) + 1; column+len(what)+len(value)+2 > erlangColumns {
		between = "\n" + strings.Repeat(" ", column)
	}
	return protocol.PreconditionFailed("%s{%s,%s%s}", text, what, between, value)
}

// shortstrMax is the longest routing key there can be, as of all short strings.
const shortstrMax = 255

// senderKeys reads the further routing keys of CC and BCC, and drops BCC.
func senderKeys(headers protocol.RawTable, m *message.Message) (keys []string, refusal *protocol.Error) {
	for _, name := range []string{"CC", "BCC"} {
		value, ok := headers.Lookup(name)
		if !ok {
			continue
		}
		list, isArray := value.Array()
		if !isArray {
			return nil, protocol.PreconditionFailed(`invalid message: {unacceptable_type_in_header,"%s",%s}`, name, value.TypeName())
		}
		before := len(keys)
		for element := range list.Each {
			if element.Tag == 'S' {
				if key, _ := element.Bytes(); len(key) <= shortstrMax {
					keys = append(keys, string(key))
				}
			}
		}
		if name == "BCC" {
			m.Flags |= message.FlagHidden
			m.Hidden = message.AppendHidden(nil, keys[before:])
			m.Props = protocol.AppendWithHeaders(nil, protocol.Properties(m.Props), without(headers, "BCC"))
		}
	}
	return keys, nil
}

// hasDuplicates tells whether a header comes twice. Headers are few.
func hasDuplicates(headers protocol.RawTable) bool {
	var seen [16][]byte
	n := 0
	for key := range headers.Each {
		for i := range min(n, len(seen)) {
			if string(seen[i]) == string(key) {
				return true
			}
		}
		if n < len(seen) {
			seen[n] = key
		}
		n++
	}
	return n > len(seen) && len(dropDuplicates(headers)) != len(headers)
}

// dropDuplicates keeps the first of headers of the same name.
func dropDuplicates(headers protocol.RawTable) protocol.RawTable {
	kept := protocol.RawTable{}
	seen := map[string]bool{}
	for key, value := range headers.Each {
		if !seen[string(key)] {
			seen[string(key)] = true
			kept = protocol.AppendField(kept, string(key), value.Decode())
		}
	}
	return kept
}

// without gives headers without one of them.
func without(headers protocol.RawTable, name string) protocol.RawTable {
	kept := protocol.RawTable{}
	for key, value := range headers.Each {
		if string(key) != name {
			kept = protocol.AppendField(kept, string(key), value.Decode())
		}
	}
	return kept
}
