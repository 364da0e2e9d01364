package queue

// Type is the kind of a queue.
type Type uint8

// Types of queues. A Relay is the queue behind an exchange that needs a memory; see relay.
const (
	Classic Type = iota
	Quorum
	Stream
	Relay
)

// Overflow says what happens to a publish that a length limit forbids.
type Overflow uint8

// Overflow behaviours, RabbitMQ's drop-head, reject-publish and reject-publish-dlx.
const (
	DropHead Overflow = iota
	RejectPublish
	RejectPublishDLX
)

// RetryKind says which returned messages are held back before they are delivered again.
type RetryKind uint8

// Delayed retry, RabbitMQ's x-delayed-retry-type.
const (
	RetryDisabled RetryKind = iota
	RetryAll
	RetryFailed   // basic.reject, or the channel is gone
	RetryReturned // basic.nack
)

// None stands for a limit that is not set.
const None = -1

// Config is what the machine knows of a queue: arguments and policies merged. It never reads the Catalog.
type Config struct {
	Type         Type
	Durable      bool
	AutoDelete   bool
	Exclusive    bool
	SingleActive bool

	MessageTTLMs   int64 // None: for ever
	ExpiresMs      int64 // None: never; unused for so long, the queue is gone
	MaxLength      int64 // ready messages; None: no limit
	MaxLengthBytes int64
	Overflow       Overflow
	MaxPriority    uint8 // 0: no priorities
	DeliveryLimit  int64 // failed deliveries; None: no limit

	DeadLetter         bool // has a dead-letter exchange
	DeadLetterExchange string
	DeadLetterKeySet   bool
	DeadLetterKey      string
	AtLeastOnce        bool // dead letters wait for targets that refuse them

	ConsumerTimeoutMs int64 // None: no timeout
	Retry             RetryKind
	RetryMinMs        int64
	RetryMaxMs        int64

	Dedup      bool // holds back messages whose key is in the queue
	DedupSize  int64
	DedupTTLMs int64

	MaxAgeMs      int64  // streams; None: no limit
	SegmentBytes  int64  // streams
	FilterSize    int64  // streams
	RelayExchange string // a relay's exchange
}

// DefaultConfig is a classic queue without limits.
func DefaultConfig() Config {
	return Config{
		MessageTTLMs: None, ExpiresMs: None, MaxLength: None, MaxLengthBytes: None, DeliveryLimit: None,
		ConsumerTimeoutMs: None, MaxAgeMs: None, DedupSize: None, DedupTTLMs: None,
	}
}

// Config travels as its differences from DefaultConfig: a count, then tag, length and value of each. A reader skips the
// tags it does not know.
const (
	tagType = iota + 1
	tagDurable
	tagAutoDelete
	tagExclusive
	tagSingleActive
	tagMessageTTL
	tagExpires
	tagMaxLength
	tagMaxLengthBytes
	tagOverflow
	tagMaxPriority
	tagDeliveryLimit
	tagDeadLetter
	tagDeadLetterExchange
	tagDeadLetterKeySet
	tagDeadLetterKey
	tagAtLeastOnce
	tagConsumerTimeout
	tagRetry
	tagRetryMin
	tagRetryMax
	tagDedup
	tagDedupSize
	tagDedupTTL
	tagMaxAge
	tagSegmentBytes
	tagFilterSize
	tagRelayExchange
	tagsEnd
)

// field is one member of Config with its tag.
type field struct {
	tag    uint8
	number *int64
	small  *uint8
	flag   *bool
	text   *string
}

func (c *Config) fields() [tagsEnd - 1]field {
	return [...]field{
		{tag: tagType, small: (*uint8)(&c.Type)},
		{tag: tagDurable, flag: &c.Durable},
		{tag: tagAutoDelete, flag: &c.AutoDelete},
		{tag: tagExclusive, flag: &c.Exclusive},
		{tag: tagSingleActive, flag: &c.SingleActive},
		{tag: tagMessageTTL, number: &c.MessageTTLMs},
		{tag: tagExpires, number: &c.ExpiresMs},
		{tag: tagMaxLength, number: &c.MaxLength},
		{tag: tagMaxLengthBytes, number: &c.MaxLengthBytes},
		{tag: tagOverflow, small: (*uint8)(&c.Overflow)},
		{tag: tagMaxPriority, small: &c.MaxPriority},
		{tag: tagDeliveryLimit, number: &c.DeliveryLimit},
		{tag: tagDeadLetter, flag: &c.DeadLetter},
		{tag: tagDeadLetterExchange, text: &c.DeadLetterExchange},
		{tag: tagDeadLetterKeySet, flag: &c.DeadLetterKeySet},
		{tag: tagDeadLetterKey, text: &c.DeadLetterKey},
		{tag: tagAtLeastOnce, flag: &c.AtLeastOnce},
		{tag: tagConsumerTimeout, number: &c.ConsumerTimeoutMs},
		{tag: tagRetry, small: (*uint8)(&c.Retry)},
		{tag: tagRetryMin, number: &c.RetryMinMs},
		{tag: tagRetryMax, number: &c.RetryMaxMs},
		{tag: tagDedup, flag: &c.Dedup},
		{tag: tagDedupSize, number: &c.DedupSize},
		{tag: tagDedupTTL, number: &c.DedupTTLMs},
		{tag: tagMaxAge, number: &c.MaxAgeMs},
		{tag: tagSegmentBytes, number: &c.SegmentBytes},
		{tag: tagFilterSize, number: &c.FilterSize},
		{tag: tagRelayExchange, text: &c.RelayExchange},
	}
}

func (f *field) equals(with *field) bool {
	switch {
	case f.number != nil:
		return *f.number == *with.number
	case f.small != nil:
		return *f.small == *with.small
	case f.flag != nil:
		return *f.flag == *with.flag
	default:
		return *f.text == *with.text
	}
}

// size is how many bytes append appends.
func (f *field) size() int {
	switch {
	case f.number != nil:
		return 8
	case f.text != nil:
		return len(*f.text)
	default:
		return 1
	}
}

func (f *field) append(dst []byte) []byte {
	switch {
	case f.number != nil:
		return le.AppendUint64(dst, uint64(*f.number))
	case f.small != nil:
		return append(dst, *f.small)
	case f.flag != nil:
		return appendBool(dst, *f.flag)
	default:
		return append(dst, *f.text...)
	}
}

func (f field) set(value []byte) {
	switch {
	case f.number != nil && len(value) == 8:
		*f.number = int64(le.Uint64(value))
	case f.small != nil && len(value) == 1:
		*f.small = value[0]
	case f.flag != nil && len(value) == 1:
		*f.flag = value[0] != 0
	case f.text != nil:
		*f.text = string(value)
	}
}

func (c *Config) append(dst []byte) []byte {
	plain := DefaultConfig()
	mine, theirs := c.fields(), plain.fields()
	at := len(dst)
	dst = append(dst, 0)
	for i := range mine {
		if f := &mine[i]; !f.equals(&theirs[i]) {
			dst = le.AppendUint32(append(dst, f.tag), uint32(f.size()))
			dst = f.append(dst)
			dst[at]++
		}
	}
	return dst
}

func (c *Config) decode(r *reader) {
	*c = DefaultConfig()
	fields := c.fields()
	for n := r.uint8(); n > 0; n-- {
		tag, value := r.uint8(), r.bytes()
		for _, f := range fields {
			if f.tag == tag && !r.bad {
				f.set(value)
			}
		}
	}
}
