package topology

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/warrenmq/warren/protocol"
)

// PolicyWish is a policy as somebody wishes it to be. The values are as JSON gave them; nil stands for the default.
type PolicyWish struct {
	Pattern, ApplyTo, Priority, Definition any
}

// JSONNull stands for a null that JSON gave, as nil stands for the default.
var JSONNull any = jsonNull{}

type jsonNull struct{}

// setting is what a policy may set: whether an operator policy may too, and what is wrong with a value.
type setting struct {
	operator bool
	wrong    func(value any) string
}

// settingsKnown are the settings a policy may have, with RabbitMQ's words for values that cannot be.
var settingsKnown = map[string]setting{
	"alternate-exchange":            {false, mustBeText("alternate exchange name")},
	"dead-letter-exchange":          {false, mustBeText("dead letter exchange name")},
	"dead-letter-routing-key":       {false, mustBeText("dead letter routing key")},
	"dead-letter-strategy":          {false, mustBeOneOf("dead letter strategy", "at-most-once", "at-least-once")},
	"message-ttl":                   {true, mustBeInteger("message TTL", 0)},
	"expires":                       {true, mustBeInteger("queue expiry", 1)},
	"max-length":                    {true, mustBeInteger("maximum length", 0)},
	"max-length-bytes":              {true, mustBeInteger("maximum length in bytes", 0)},
	"max-in-memory-length":          {true, mustBeInteger("maximum memory in bytes", 0)},
	"max-in-memory-bytes":           {true, mustBeInteger("maximum memory in bytes", 0)},
	"queue-mode":                    {false, mustBeOneOf("queue-mode value", "default", "lazy")},
	"queue-version":                 {true, wrongQueueVersion},
	"overflow":                      {true, mustBeOneOf("overflow value", "drop-head", "reject-publish", "reject-publish-dlx")},
	"delivery-limit":                {true, wrongDeliveryLimit},
	"max-age":                       {false, wrongMaxAge},
	"stream-max-segment-size-bytes": {false, wrongSegmentSize},
	"stream-filter-size-bytes":      {false, wrongFilterSize},
	"queue-leader-locator":          {false, mustBeOneOf("queue leader locator value", "client-local", "balanced", "random", "least-leaders")},
	"initial-cluster-size":          {false, mustBeInteger("cluster size", 0)},
	"target-group-size":             {true, mustBeInteger("qq target count value", 1)},
	"consumer-timeout":              {false, mustBeInteger("consumer timeout", 0)},
	"consumer-disconnected-timeout": {false, mustBeInteger("consumer disconnected timeout", 0)},
	"delayed-retry-type":            {true, wrongRetryType},
	"delayed-retry-min":             {true, wrongRetryDelay("minimum")},
	"delayed-retry-max":             {true, wrongRetryDelay("maximum")},
	"federation-upstream":           {false, mustBeBinary("federation-upstream")},
	"federation-upstream-set":       {false, mustBeBinary("federation-upstream-set")},
	"federation-upstream-pattern":   {false, wrongUpstreamPattern},
	"shards-per-node":               {false, mustBeInteger("number of shards", 0)},
	"routing-key":                   {false, mustBeText("routing key")},
}

func notValid(value any, what string) string {
	return jsonTerm(value) + " is not a valid " + what
}

func mustBeText(what string) func(any) string {
	return func(value any) string {
		if _, ok := value.(string); ok {
			return ""
		}
		return notValid(value, what)
	}
}

func mustBeOneOf(what string, words ...string) func(any) string {
	return func(value any) string {
		if text, ok := value.(string); ok && slices.Contains(words, text) {
			return ""
		}
		return notValid(value, what)
	}
}

func mustBeBinary(name string) func(any) string {
	return func(value any) string {
		if _, ok := value.(string); ok {
			return ""
		}
		return fmt.Sprintf("%s should be binary, actually was %s", name, jsonTerm(value))
	}
}

func mustBeInteger(what string, least int64) func(any) string {
	return func(value any) string {
		if isInteger(value) && !less(value, least) {
			return ""
		}
		return notValid(value, what)
	}
}

// isInteger tells whether a JSON value is an integer, of any size.
func isInteger(value any) bool {
	n, ok := value.(json.Number)
	return ok && !strings.ContainsAny(n.String(), ".eE")
}

// less compares an integer, of any size, with a small one.
func less(value any, than int64) bool {
	number, _ := value.(json.Number)
	if n, err := number.Int64(); err == nil {
		return n < than
	}
	return strings.HasPrefix(number.String(), "-")
}

func more(value any, than int64) bool {
	number, _ := value.(json.Number)
	if n, err := number.Int64(); err == nil {
		return n > than
	}
	return !strings.HasPrefix(number.String(), "-")
}

func wrongQueueVersion(value any) string {
	if isInteger(value) && !less(value, 1) && !more(value, 2) {
		return ""
	}
	return notValid(value, "queue-version value")
}

func wrongDeliveryLimit(value any) string {
	if isInteger(value) {
		return ""
	}
	return notValid(value, "delivery limit")
}

func wrongMaxAge(value any) string {
	text, _ := value.(string)
	if _, ok := ParseAge(text); ok {
		return ""
	}
	return notValid(value, "max age")
}

func wrongSegmentSize(value any) string {
	if isInteger(value) && !less(value, 0) && !more(value, segmentMax) {
		return ""
	}
	return notValid(value, "segment size")
}

func wrongFilterSize(value any) string {
	if isInteger(value) && !less(value, filterMin) && !more(value, filterMax) {
		return ""
	}
	return notValid(value, "filter size. Valid range is 16-255")
}

func wrongRetryType(value any) string {
	return mustBeOneOf("delayed retry type. Must be one of: all, failed, returned, disabled", "all", "failed", "returned", "disabled")(value)
}

func wrongRetryDelay(which string) func(any) string {
	return mustBeInteger("delayed retry "+which+" delay. Must be a positive integer", 1)
}

func wrongUpstreamPattern(value any) string {
	text, ok := value.(string)
	if !ok {
		return fmt.Sprintf("federation-upstream-pattern should be binary, actually was %s", jsonTerm(value))
	}
	if _, err := CompilePattern(text); err != nil {
		return "federation-upstream-pattern should be a valid regular expression"
	}
	return ""
}

// ValidationError is a refusal of a parameter or policy, as RabbitMQ words it.
func ValidationError(faults ...string) *protocol.Error {
	return &protocol.Error{Code: protocol.CodePreconditionFailed, Text: "Validation failed\n\n" + strings.Join(faults, "\n") + "\n"}
}

// check makes the record of a wished policy, or says all that is wrong with it.
func (w *PolicyWish) check(operator bool) (PolicyRecord, *protocol.Error) {
	r := PolicyRecord{ApplyTo: applyToAll}
	var faults []string
	fault := func(text string) {
		if text != "" {
			faults = append(faults, text)
		}
	}
	definition, ok := w.Definition.(map[string]any)
	if !ok {
		fault("definition should be a map, actually was " + jsonTerm(w.Definition))
	} else {
		fault(wrongDefinition(definition, operator))
	}
	fault(w.readApplyTo(&r))
	fault(w.readPattern(&r))
	fault(w.readPriority(&r))
	if len(faults) > 0 {
		return r, ValidationError(faults...)
	}
	encoded, err := json.Marshal(definition)
	if err != nil {
		bug("a policy's definition cannot be written: %v", err)
	}
	r.Definition = encoded
	return r, nil
}

// readPriority takes any number, of which RabbitMQ keeps fractions too; here they are cut.
func (w *PolicyWish) readPriority(r *PolicyRecord) string {
	if w.Priority == nil {
		return ""
	}
	number, ok := w.Priority.(json.Number)
	if !ok {
		return "priority should be a number, actually was " + jsonTerm(w.Priority)
	}
	n, err := number.Int64()
	if err != nil {
		f, err := number.Float64()
		if err != nil {
			return "priority should be a number, actually was " + number.String()
		}
		n = int64(f)
	}
	r.Priority = n
	return ""
}

func (w *PolicyWish) readPattern(r *PolicyRecord) string {
	text, ok := w.Pattern.(string)
	if w.Pattern == nil {
		return "pattern should be a binary but was undefined"
	}
	if !ok {
		return "pattern should be a binary but was " + jsonTerm(w.Pattern)
	}
	r.Pattern = text
	if _, err := CompilePattern(text); err != nil {
		reason, at := (&PatternError{Pattern: text, Err: err}).Describe()
		return fmt.Sprintf("pattern should be regular expression but is invalid: {%s,\n%s%d}", strconv.Quote(reason), strings.Repeat(" ", 54), at)
	}
	return ""
}

func (w *PolicyWish) readApplyTo(r *PolicyRecord) string {
	if w.ApplyTo == nil {
		return ""
	}
	text, isText := w.ApplyTo.(string)
	if !slices.Contains(ApplyTo, text) {
		if !isText {
			text = jsonTerm(w.ApplyTo)
		}
		return fmt.Sprintf("apply-to '%s' unrecognised; should be one of: 'queues', 'classic_queues',  'quorum_queues', 'streams', 'exchanges', or 'all'", text)
	}
	r.ApplyTo = text
	return ""
}

// wrongDefinition is what is wrong with the settings of a policy: the first bad value, or else all settings there are not.
func wrongDefinition(definition map[string]any, operator bool) string {
	if len(definition) == 0 {
		return "no policy provided"
	}
	var unknown []string
	for _, name := range sortedNames(definition) {
		known, ok := settingsKnown[name]
		if name == "queue-master-locator" {
			return "use of deprecated queue-master-locator argument is not permitted"
		}
		if !ok || operator && !known.operator {
			unknown = append(unknown, name)
		} else if text := known.wrong(definition[name]); text != "" {
			return text
		}
	}
	if len(unknown) > 0 {
		return propertyList(definition, unknown) + " are not recognised policy settings"
	}
	return wrongTogether(definition)
}

// wrongTogether is about settings that need or exclude each other.
func wrongTogether(definition map[string]any) string {
	lowest, hasLowest := definition["delayed-retry-min"]
	highest, hasHighest := definition["delayed-retry-max"]
	if kind, ok := definition["delayed-retry-type"].(string); ok && kind != "disabled" && !hasLowest {
		return "delayed-retry-min is required when delayed-retry-type is " + kind
	}
	if hasLowest && hasHighest {
		n, err := highest.(json.Number).Int64()
		if err == nil && more(lowest, n) {
			return fmt.Sprintf("delayed-retry-max (%d) must not be smaller than delayed-retry-min (%s)", n, lowest)
		}
	}
	_, upstream := definition["federation-upstream"]
	_, set := definition["federation-upstream-set"]
	if upstream && set {
		return "cannot specify both federation-upstream and federation-upstream-set"
	}
	return ""
}
