package queue

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/warrenmq/warren/broker/message"
)

// notDrawn are the fields that the machine does not act on, or that the generator cannot choose.
var notDrawn = map[string]string{
	"message.Head.Size":       "the length of the body, which is drawn; set by the encoding",
	"message.Head.Properties": "the length of the properties, which are drawn; set by the encoding",
	"message.Head.Hidden":     "keys for whoever forwards a dead letter; the machine passes over them",
}

// apart are pairs of settings that no queue has both of.
var apart = map[[2]string]string{
	{"MaxPriority", "MaxAgeMs"}:       "classic queues have priorities, streams an age",
	{"MaxPriority", "SegmentBytes"}:   "classic queues have priorities, streams segments",
	{"MaxPriority", "FilterSize"}:     "classic queues have priorities, streams filters",
	{"MaxPriority", "RelayExchange"}:  "only a relay is an exchange's",
	{"MaxPriority", "Type"}:           "only classic queues, whose type is the default, have priorities",
	{"MaxAgeMs", "RelayExchange"}:     "only a relay is an exchange's",
	{"SegmentBytes", "RelayExchange"}: "only a relay is an exchange's",
	{"FilterSize", "RelayExchange"}:   "only a relay is an exchange's",
}

// drawn notes the values that fields had.
type drawn map[string]map[string]bool

func (d drawn) note(v any) {
	value := reflect.ValueOf(v)
	for i := range value.NumField() {
		name := value.Type().String() + "." + value.Type().Field(i).Name
		if d[name] == nil {
			d[name] = map[string]bool{}
		}
		d[name][fmt.Sprint(value.Field(i))] = true
	}
}

// pairs are settings that one queue had both of.
type pairs map[[2]string]bool

func (p pairs) note(c Config) {
	value, plain := reflect.ValueOf(c), reflect.ValueOf(DefaultConfig())
	var set []string
	for i := range value.NumField() {
		if value.Field(i).Interface() != plain.Field(i).Interface() {
			set = append(set, value.Type().Field(i).Name)
		}
	}
	for _, a := range set {
		for _, b := range set {
			p[[2]string{a, b}] = true
		}
	}
}

// TestEverySettingIsDrawn: what the random test does not draw it does not test. Of a queue's settings each meets each.
func TestEverySettingIsDrawn(t *testing.T) {
	values, together := drawn{}, pairs{}
	for seed := range uint64(150) {
		d := newDuel(t, seed)
		for range 60 {
			d.model.play(d.next(), d.history)
			for _, b := range d.history {
				for _, step := range b.steps {
					note(values, together, step)
				}
			}
		}
	}
	for _, of := range []any{Config{}, Attach{}, message.Head{}} {
		kind := reflect.TypeOf(of)
		for i := range kind.NumField() {
			name := kind.String() + "." + kind.Field(i).Name
			if _, given := notDrawn[name]; given != (len(values[name]) < 2) {
				t.Errorf("%s had %d values; excused: %v", name, len(values[name]), given)
			}
		}
	}
	kind := reflect.TypeFor[Config]()
	for i := range kind.NumField() {
		for j := range i {
			a, b := kind.Field(j).Name, kind.Field(i).Name
			_, excused := apart[[2]string{a, b}]
			_, excusedToo := apart[[2]string{b, a}]
			if together[[2]string{a, b}] == (excused || excusedToo) {
				t.Errorf("%s and %s: drawn together %v", a, b, together[[2]string{a, b}])
			}
		}
	}
}

func note(values drawn, together pairs, step any) {
	switch s := step.(type) {
	case *Declare:
		values.note(s.Config)
		together.note(s.Config)
	case *Attach:
		values.note(*s)
	case *burst:
		for i := range s.messages {
			values.note(s.messages[i].Head)
		}
	}
}
