package topology

import (
	"github.com/warrenmq/warren/broker/queue"
)

// settings are the sources of a queue's configuration: arguments, policy, operator policy.
type settings struct {
	arguments interface {
		Get(string) (any, bool)
	}
	policy, operator *Policy
	quorum           bool
}

// quorumDeliveryLimit is what RabbitMQ gives a quorum queue that says nothing.
const quorumDeliveryLimit = 20

// ConsumerTimeoutDefault is how long a consumer of a quorum queue may take to acknowledge, in milliseconds.
const ConsumerTimeoutDefault = 1_800_000

// config merges what a queue's arguments and policies say; the timeout is that of quorum queues that say nothing.
func (q *Queue) config(consumerTimeoutMs int64) queue.Config {
	s := settings{arguments: q.Table, policy: q.Policy, operator: q.Operator, quorum: q.Type == "quorum"}
	c := queue.DefaultConfig()
	c.Durable, c.AutoDelete, c.Exclusive = q.Durable, q.AutoDelete, q.Exclusive
	switch q.Type {
	case "quorum":
		c.Type = queue.Quorum
		c.DeliveryLimit = quorumDeliveryLimit
		if n, ok := s.deliveryLimit(); ok {
			c.DeliveryLimit = max(n, queue.None)
		}
	case "stream":
		c.Type = queue.Stream
	}
	c.MaxAgeMs = s.age()
	c.SegmentBytes = max(s.lowest("stream-max-segment-size-bytes"), 0)
	c.FilterSize = max(s.lowest("stream-filter-size-bytes"), 0)
	c.MessageTTLMs = s.lowest("message-ttl")
	c.ExpiresMs = s.lowest("expires")
	c.MaxLength = s.lowest("max-length")
	c.MaxLengthBytes = s.lowest("max-length-bytes")
	c.ConsumerTimeoutMs = s.lowest("consumer-timeout")
	if s.quorum && c.ConsumerTimeoutMs == queue.None {
		c.ConsumerTimeoutMs = consumerTimeoutMs
	}
	c.Overflow = s.overflow()
	c.DeadLetterExchange, c.DeadLetter = s.argumentFirst("dead-letter-exchange")
	c.DeadLetterKey, c.DeadLetterKeySet = s.argumentFirst("dead-letter-routing-key")
	strategy, _ := s.argumentFirst("dead-letter-strategy")
	c.AtLeastOnce = s.quorum && strategy == "at-least-once" && c.Overflow == queue.RejectPublish && c.DeadLetter
	if n, ok := s.argumentNumber("max-priority"); ok && !s.quorum {
		c.MaxPriority = uint8(max(n, 1))
	}
	if b, ok := s.arguments.Get("x-single-active-consumer"); ok {
		c.SingleActive, _ = b.(bool)
	}
	if b, ok := s.arguments.Get("x-message-deduplication"); ok && q.Type != "stream" {
		c.Dedup, _ = b.(bool)
	}
	s.retry(&c)
	return c
}

func (s *settings) argumentNumber(name string) (int64, bool) {
	value, ok := s.arguments.Get("x-" + name)
	if !ok {
		return 0, false
	}
	return integer(value)
}

// numbers gives what argument, policy and operator policy say.
func (s *settings) numbers(name string) []int64 {
	var list []int64
	for _, source := range []func(string) (int64, bool){s.argumentNumber, s.policy.number, s.operator.number} {
		if n, ok := source(name); ok {
			list = append(list, n)
		}
	}
	return list
}

// lowest is the lowest of all that is said, queue.None if nothing is.
func (s *settings) lowest(name string) int64 {
	lowest := int64(queue.None)
	for _, n := range s.numbers(name) {
		if lowest == queue.None || n < lowest {
			lowest = n
		}
	}
	return lowest
}

// age is the lower of what argument and policy say of x-max-age, in milliseconds.
func (s *settings) age() int64 {
	lowest := int64(queue.None)
	for _, source := range []func(string) (string, bool){s.argumentText, s.policy.text, s.operator.text} {
		text, _ := source("max-age")
		if ms, ok := ParseAge(text); ok && (lowest == queue.None || ms < lowest) {
			lowest = ms
		}
	}
	return lowest
}

// deliveryLimit is the lowest of all, but the highest if somebody says unlimited, which is negative.
func (s *settings) deliveryLimit() (int64, bool) {
	list := s.numbers("delivery-limit")
	if len(list) == 0 {
		return 0, false
	}
	limit := list[0]
	for _, n := range list[1:] {
		if limit < 0 || n < 0 {
			limit = max(limit, n)
		} else {
			limit = min(limit, n)
		}
	}
	return limit, true
}

// policyText is what the policies say, the operator's first.
func (s *settings) policyText(name string) (string, bool) {
	if v, ok := s.operator.text(name); ok {
		return v, true
	}
	return s.policy.text(name)
}

func (s *settings) argumentText(name string) (string, bool) {
	value, ok := s.arguments.Get("x-" + name)
	if !ok {
		return "", false
	}
	text, ok := value.(string)
	return text, ok
}

func (s *settings) argumentFirst(name string) (string, bool) {
	if v, ok := s.argumentText(name); ok {
		return v, true
	}
	return s.policyText(name)
}

func (s *settings) policyFirst(name string) (string, bool) {
	if v, ok := s.policyText(name); ok {
		return v, true
	}
	return s.argumentText(name)
}

// overflow: in a classic queue the argument wins, in a quorum queue the policy, which has no reject-publish-dlx.
func (s *settings) overflow() queue.Overflow {
	pick := s.argumentFirst
	if s.quorum {
		pick = s.policyFirst
	}
	switch value, _ := pick("overflow"); {
	case value == "reject-publish":
		return queue.RejectPublish
	case value == "reject-publish-dlx" && !s.quorum:
		return queue.RejectPublishDLX
	}
	return queue.DropHead
}

// retry reads the delayed retry of a quorum queue.
func (s *settings) retry(c *queue.Config) {
	if !s.quorum {
		return
	}
	switch kind, _ := s.policyFirst("delayed-retry-type"); kind {
	case "all":
		c.Retry = queue.RetryAll
	case "failed":
		c.Retry = queue.RetryFailed
	case "returned":
		c.Retry = queue.RetryReturned
	default:
		return
	}
	for _, n := range s.numbers("delayed-retry-min") {
		c.RetryMinMs = max(c.RetryMinMs, n)
	}
	for _, n := range s.numbers("delayed-retry-max") {
		if c.RetryMaxMs == 0 || n < c.RetryMaxMs {
			c.RetryMaxMs = n
		}
	}
}
