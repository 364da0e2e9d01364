package session

import (
	"net"
	"strconv"

	"github.com/warrenmq/warren/broker/audit"
)

// audit notes what the client has removed: an exchange, a queue, or messages.
func (s *Session) audit(action, name string, messages uint64) {
	log := s.env.Authority.Audit
	if log == nil {
		return
	}
	from := s.conn.RemoteAddr().String()
	if host, _, err := net.SplitHostPort(from); err == nil {
		from = host
	}
	e := audit.Event{Action: action, User: s.principal.Name(), From: from, VHost: s.vhost, Name: name}
	if messages > 0 {
		e.Detail = strconv.FormatUint(messages, 10) + " messages"
	}
	log.Record(e)
}
