package queue

import (
	"github.com/warrenmq/warren/broker/message"
)

// A publish command, after the command head:
//
//	0  flags    1 byte, publishConfirm
//	1  channel  2 bytes
//	3  number   8 bytes, of the first message, counted by the channel; 0 without confirms
//	11 count    4 bytes, messages
//	15 stride   4 bytes, from one record to the next if all are alike, else 0
//	19 targets  4 bytes, count, then 8 bytes each
//	then each message: 4 bytes length, record
const (
	publishConfirm = 1 << iota
)

const publishHead = 23

// Batch is the commands of one burst, encoded one behind the other. The zero value is empty.
type Batch struct {
	data []byte
	open openPublish
}

// openPublish is the publish command at the end of a batch, to which further messages may still be added.
type openPublish struct {
	at      int // where it begins in data
	count   uint32
	channel uint16
	confirm bool
	next    uint64 // number of the message that would go on
	targets []ID

	stride     uint32 // 0: the records differ
	flags      uint16 // of the first record, as are these
	priority   uint8
	size       int
	properties int
	expiration uint64
}

// Len is the bytes written so far.
func (b *Batch) Len() int { return len(b.data) }

// Bytes closes the batch and gives its encoded form, borrowed until the next Reset.
func (b *Batch) Bytes() []byte {
	b.close()
	return b.data
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() { *b = Batch{data: b.data[:0]} }

// batchKept is the memory an empty batch keeps.
const batchKept = 256 << 10

// Trim gives up, and gives back, memory that one large burst took; nil if it took none. The batch must be empty.
func (b *Batch) Trim() (memory []byte) {
	if cap(b.data) > batchKept {
		memory, b.data = b.data[:0], nil
	}
	return memory
}

// Bare tells whether the batch has no memory.
func (b *Batch) Bare() bool { return cap(b.data) == 0 }

// Lend gives a bare batch memory to begin with.
func (b *Batch) Lend(memory []byte) { b.data = memory[:0] }

// grow makes room for n bytes more: no more than an empty batch keeps, as long as that is enough.
func (b *Batch) grow(n int) {
	need := len(b.data) + n
	if need <= cap(b.data) {
		return
	}
	size := max(2*cap(b.data), need)
	if need <= batchKept {
		size = min(size, batchKept)
	}
	b.data = append(make([]byte, 0, size), b.data...)
}

// Add appends a command.
func (b *Batch) Add(c Command) {
	b.close()
	at := len(b.data)
	b.data = append(b.data, byte(c.op()), commandVersion, 0, 0, 0, 0)
	b.data = c.append(b.data)
	le.PutUint32(b.data[at+2:], uint32(len(b.data)-at-commandHead))
}

// Append appends commands that are encoded already.
func (b *Batch) Append(commands []byte) {
	b.close()
	b.data = append(b.data, commands...)
}

// Publish appends a message for the targets, which are borrowed until the batch is closed. number is the channel's count
// of the message if it is to be confirmed, else 0.
func (b *Batch) Publish(channel uint16, number uint64, targets []ID, m *message.Message) {
	if !b.open.takes(channel, number, targets) {
		b.close()
		b.begin(channel, number, targets)
	}
	n := m.Length()
	b.grow(n + RecordGap)
	b.open.note(uint32(n+RecordGap), m)
	b.data = le.AppendUint32(b.data, uint32(n))
	b.data = message.Append(b.data, m)
}

func (b *Batch) begin(channel uint16, number uint64, targets []ID) {
	b.open = openPublish{at: len(b.data), channel: channel, confirm: number != 0, next: number, targets: targets}
	var flags byte
	if number != 0 {
		flags = publishConfirm
	}
	b.data = append(b.data, byte(OpPublish), commandVersion, 0, 0, 0, 0, flags)
	b.data = le.AppendUint16(b.data, channel)
	b.data = le.AppendUint64(b.data, number)
	b.data = le.AppendUint64(b.data, 0) // count and stride
	b.data = le.AppendUint32(b.data, uint32(len(targets)))
	for _, id := range targets {
		b.data = le.AppendUint64(b.data, uint64(id))
	}
}

// close writes what is known only at the end of a publish command.
func (b *Batch) close() {
	o := &b.open
	if o.count == 0 {
		return
	}
	le.PutUint32(b.data[o.at+2:], uint32(len(b.data)-o.at-commandHead))
	le.PutUint32(b.data[o.at+commandHead+11:], o.count)
	le.PutUint32(b.data[o.at+commandHead+15:], o.stride)
	b.open = openPublish{}
}

func (o *openPublish) takes(channel uint16, number uint64, targets []ID) bool {
	if o.count == 0 || o.channel != channel || o.confirm != (number != 0) || number != o.next {
		return false
	}
	if len(targets) != len(o.targets) {
		return false
	}
	if len(targets) == 0 || &targets[0] == &o.targets[0] {
		return true
	}
	for i := range targets {
		if targets[i] != o.targets[i] {
			return false
		}
	}
	return true
}

// singular are the flags of records that the machine must look at one by one.
const singular = message.FlagDelay | message.FlagCounts | message.FlagDedup | message.FlagProducer | message.FlagFilter |
	message.FlagLetter

// note keeps track of whether all records are alike.
func (o *openPublish) note(stride uint32, m *message.Message) {
	if o.confirm {
		o.next++
	}
	o.count++
	if o.count == 1 {
		o.flags, o.priority, o.expiration = m.Flags, m.Priority, m.Expiration
		o.size, o.properties = len(m.Body), len(m.Props)
		if m.Flags&singular == 0 {
			o.stride = stride
		}
		return
	}
	if o.stride != stride || o.flags != m.Flags || o.priority != m.Priority || o.expiration != m.Expiration ||
		o.size != len(m.Body) || o.properties != len(m.Props) {
		o.stride = 0
	}
}

// publish is a decoded publish command. Its slices are borrowed from the entry.
type publish struct {
	confirm bool
	channel uint16
	number  uint64
	count   uint32
	stride  uint32
	targets []byte // 8 bytes each
	records []byte
	at      uint32 // where records begin in the entry
	again   bool   // the batch was applied before
}

func (p *publish) target(i int) ID { return ID(le.Uint64(p.targets[8*i:])) }

// decode opens the payload that begins at the given offset of its entry.
func (p *publish) decode(payload []byte, at uint32) error {
	if len(payload) < publishHead {
		return ErrCommand
	}
	targets := 8 * uint64(le.Uint32(payload[19:]))
	if uint64(len(payload)) < publishHead+targets {
		return ErrCommand
	}
	*p = publish{
		confirm: payload[0]&publishConfirm != 0,
		channel: le.Uint16(payload[1:]),
		number:  le.Uint64(payload[3:]),
		count:   le.Uint32(payload[11:]),
		stride:  le.Uint32(payload[15:]),
		targets: payload[publishHead : publishHead+targets],
		records: payload[publishHead+targets:],
		at:      at + publishHead + uint32(targets),
	}
	return nil
}
