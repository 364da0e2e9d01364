package queue

import "github.com/warrenmq/warren/store/oplog"

// run is messages that lie one after another in one entry and are alike in everything the machine asks about.
type run struct {
	index      uint64 // of the entry
	offset     uint32 // of the first record in the entry
	stride     uint32 // from one record to the next
	count      uint32
	size       uint32 // bytes each counts for in length limits and statistics
	expires    int64  // log time in milliseconds; 0: never
	due        int64  // log time until which it is held back; 0: it is not
	deliveries uint32 // failed deliveries
	acquired   uint32 // times handed to a consumer and returned
	priority   uint8
	flags      uint8
}

// Flags of a run.
const (
	runRedelivered = 1 << iota // the next delivery says redelivered
	runPersistent              // delivery-mode 2
	runDedup                   // holds deduplication keys
)

// RecordGap is what stands between two records: the length of the next one.
const RecordGap = 4

// before orders runs by the place of their messages in the log.
func (r *run) before(o *run) bool {
	return r.index < o.index || r.index == o.index && r.offset < o.offset
}

// alike tells whether both are the same but for their place and count.
func (r *run) alike(o *run) bool {
	return r.stride == o.stride && r.size == o.size && r.expires == o.expires && r.due == o.due && r.deliveries == o.deliveries &&
		r.acquired == o.acquired && r.priority == o.priority && r.flags == o.flags
}

// join adds next to r if it goes on where r ends.
func (r *run) join(next *run) bool {
	if r.index != next.index || r.offset+r.stride*r.count != next.offset || !r.alike(next) {
		return false
	}
	r.count += next.count
	return true
}

// take cuts the first n messages off r.
func (r *run) take(n uint32) run {
	front := *r
	front.count = n
	r.offset += n * r.stride
	r.count -= n
	return front
}

// part is the n messages of r that come after the first skip.
func (r *run) part(skip, n uint32) run {
	p := *r
	p.offset += skip * r.stride
	p.count = n
	return p
}

// bytes is what the messages of r count for in limits.
func (r *run) bytes() int64 { return int64(r.size) * int64(r.count) }

// live is how many bytes of its entry r keeps alive.
func (r *run) live() int64 { return int64(r.stride) * int64(r.count) }

// span is where the records of r lie, each with the gap before it: so the spans of neighbours touch, and runs that become
// one later can be read as one.
func (r *run) span() oplog.Span {
	return oplog.Span{Index: r.index, Offset: r.offset - RecordGap, Length: r.stride * r.count}
}
