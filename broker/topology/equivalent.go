package topology

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/warrenmq/warren/protocol"
)

// equivalentArguments compares the arguments that a queue's type knows, as a redeclaration demands. where names the queue.
func equivalentArguments(queueType, where string, have, want protocol.Table) *protocol.Error {
	for _, a := range queueArguments {
		if !strings.Contains(a.types, queueType[:1]) && a.name != "x-queue-type" {
			continue
		}
		if refusal := equivalentArgument(a.name, where, have, want); refusal != nil {
			return refusal
		}
	}
	return nil
}

func equivalentArgument(name, where string, have, want protocol.Table) *protocol.Error {
	old, hadOne := have.Get(name)
	wanted, wantsOne := want.Get(name)
	switch {
	case !hadOne && !wantsOne:
		return nil
	case !wantsOne:
		return inequivalent(name, where, "none", "the "+describe(name, old))
	case !hadOne:
		return inequivalent(name, where, "the "+describe(name, wanted), "none")
	case sameArgument(canonical(name, old), canonical(name, wanted)):
		return nil
	}
	return inequivalent(name, where, quote(name, wanted), quote(name, old))
}

// quote shows an argument that both have; void is none.
func quote(name string, value any) string {
	if value == nil {
		return "none"
	}
	return "'" + show(canonical(name, value)) + "'"
}

func inequivalent(name, where, received, current string) *protocol.Error {
	return protocol.PreconditionFailed("inequivalent arg '%s' for %s: received %s but current is %s", name, where, received, current)
}

func describe(name string, value any) string {
	return fmt.Sprintf("value '%s' of type '%s'", show(canonical(name, value)), protocol.TypeName(value))
}

// canonical gives the form in which an argument is compared: an age in milliseconds.
func canonical(name string, value any) any {
	if text, ok := value.(string); ok && name == "x-max-age" {
		if ms, ok := ParseAge(text); ok {
			return ms
		}
	}
	return value
}

// show prints a value inside quotes.
func show(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	}
	return protocol.ErlangTerm(value)
}

// sameArgument compares as RabbitMQ does: integers of all widths are one class, floats another.
func sameArgument(a, b any) bool {
	if x, ok := integerLike(a); ok {
		y, ok := integerLike(b)
		return ok && x == y
	}
	if x, ok := float(a); ok {
		y, ok := float(b)
		return ok && x == y
	}
	return protocol.ErlangTerm(a) == protocol.ErlangTerm(b)
}

func integerLike(value any) (int64, bool) {
	if t, ok := value.(protocol.Timestamp); ok {
		return int64(t), true
	}
	return integer(value)
}

func float(value any) (float64, bool) {
	switch v := value.(type) {
	case float32:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// queueName and exchangeName are how refusals name a thing.
func queueName(vhost, name string) string { return "queue '" + name + "' in vhost '" + vhost + "'" }

func exchangeName(vhost, name string) string {
	return "exchange '" + name + "' in vhost '" + vhost + "'"
}

// equivalentFlag compares a flag of a redeclaration.
func equivalentFlag(name, where string, have, want bool) *protocol.Error {
	if have == want {
		return nil
	}
	return inequivalent(name, where, "'"+strconv.FormatBool(want)+"'", "'"+strconv.FormatBool(have)+"'")
}
