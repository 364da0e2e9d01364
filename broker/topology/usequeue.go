package topology

import (
	"github.com/warrenmq/warren/protocol"
)

// CheckDelete refuses a conditional deletion where the queue's type knows none.
func (q *Queue) CheckDelete(ifUnused, ifEmpty bool) *protocol.Error {
	if q.Type != "quorum" {
		return nil
	}
	for _, flag := range []struct {
		set  bool
		name string
	}{{ifUnused, "if-unused"}, {ifEmpty, "if-empty"}} {
		if flag.set {
			return protocol.Errorf(protocol.CodeNotImplemented, "cannot delete %s. queue.delete operations with %s flag set are not supported by quorum queues", queueName(q.VHost, q.Name), flag.name)
		}
	}
	return nil
}

// consumerArguments are the arguments of basic.consume, with the types of queues that know them.
var consumerArguments = []struct{ name, types string }{
	{"x-priority", onClassic + onQuorum},
	{"x-consumer-timeout", onQuorum},
	{"x-stream-offset", onStream},
	{"x-stream-filter", onStream},
	{"x-stream-match-unfiltered", onStream},
}

// CheckConsumer refuses consumer arguments that the queue's type does not know.
func CheckConsumer(q *Queue, where string, arguments protocol.RawTable) *protocol.Error {
	for _, a := range consumerArguments {
		if _, ok := arguments.Lookup(a.name); ok && !containsByte(a.types, q.Type[0]) {
			return protocol.PreconditionFailed("invalid arg '%s' for %s of queue type %s", a.name, where, queueTypes[q.Type])
		}
	}
	return nil
}

func containsByte(s string, b byte) bool {
	for i := range len(s) {
		if s[i] == b {
			return true
		}
	}
	return false
}
