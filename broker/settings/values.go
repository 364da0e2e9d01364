package settings

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// origin is where a value comes from; higher ones win.
type origin int

const (
	fromDefault origin = iota
	fromFile
	fromVariable
	fromFlag
)

// Value is what somebody said a setting is, or its default.
type Value struct {
	Key     string // as it was written: the setting's name, with words where that has "$name"
	Text    string
	Where   string // such as rabbitmq.conf:12, WARREN_LISTEN, --listen; "default"
	Setting *Setting

	from origin
}

// Shown is the value as it may be printed: a secret is not.
func (v Value) Shown() string {
	if v.Setting.Secret && v.Text != "" {
		return Masked
	}
	return v.Text
}

// True tells whether a Boolean is.
func (v Value) True() bool {
	b, _ := boolean(v.Text) // it was checked
	return b
}

// Addresses gives the host:port that the value is.
func (v Value) Addresses() []string {
	a, err := address(v.Text)
	if err != nil {
		return nil
	}
	return []string{a}
}

// Masked stands where a secret is not shown.
const Masked = "***"

// Values are all settings as they are. It is not changed once it is loaded.
type Values struct {
	// Files are the files that were read.
	Files []string
	// Warnings are what was odd.
	Warnings []string

	set      map[string]Value
	defaults map[string]string // in place of the list's
}

// value gives what a setting is. Asking for one that is not in the list is a bug.
func (v *Values) value(key string) Value {
	if said, ok := v.set[key]; ok {
		return said
	}
	s := Find(key)
	if s == nil {
		bug("there is no setting %q", key)
	}
	return Value{Key: key, Text: v.fallback(s), Where: "default", Setting: s}
}

// fallback is what a setting is if nobody says anything.
func (v *Values) fallback(s *Setting) string {
	if text, ok := v.defaults[s.Name]; ok {
		return text
	}
	return s.Default
}

// Said tells whether somebody said what the setting is.
func (v *Values) Said(key string) bool { _, ok := v.set[key]; return ok }

// Above tells whether the setting was said in a source that wins over where the other one was said.
func (v *Values) Above(key, other string) bool {
	return v.Said(key) && v.value(key).from > v.value(other).from
}

// Text gives a setting's text.
func (v *Values) Text(key string) string { return v.value(key).Text }

// Number gives a Number, 0 where there is none.
func (v *Values) Number(key string) int64 {
	n, _ := strconv.ParseInt(v.Text(key), 10, 64) // it was checked; "" is 0
	return n
}

// Ratio gives a Ratio, 0 where there is none.
func (v *Values) Ratio(key string) float64 {
	f, _ := ratio(v.Text(key))
	return f
}

// Boolean gives a Boolean, false where there is none.
func (v *Values) Boolean(key string) bool {
	b, _ := boolean(v.Text(key))
	return b
}

// Size gives the bytes of a Size, 0 where there is none.
func (v *Values) Size(key string) uint64 {
	n, _ := sizeOf(v.Text(key))
	return n
}

// Duration gives a Duration, 0 where there is none.
func (v *Values) Duration(key string) time.Duration {
	d, _ := time.ParseDuration(v.Text(key))
	return d
}

// Span is the number of milliseconds of a value of that kind.
func (v *Value) Span() int64 {
	d, _ := spanOf(v.Text)
	return d.Milliseconds()
}

// Bytes is the number of bytes of a value of that kind.
func (v *Value) Bytes() int64 {
	n, _ := bytesOf(v.Text)
	return int64(n)
}

// Level gives a Level as the logger calls it, "" where there is none.
func (v *Values) Level(key string) string { return levels[v.Text(key)] }

// Address gives host:port, "" where there is none.
func (v *Values) Address(key string) string {
	a, err := address(v.Text(key))
	if err != nil {
		return ""
	}
	return a
}

// Addresses gives host:port of each.
func (v *Values) Addresses(key string) (list []string) {
	for _, one := range split(v.Text(key)) {
		if a, err := address(one); err == nil {
			list = append(list, a)
		}
	}
	return list
}

// Networks gives the networks of a setting.
func (v *Values) Networks(key string) (list []netip.Prefix) {
	for _, one := range split(v.Text(key)) {
		if n, err := network(one); err == nil {
			list = append(list, n)
		}
	}
	return list
}

// Each gives the values of a setting with an open name, such as listeners.tcp.$name, by the words that stand for its
// first "$name"; in the order of the words.
func (v *Values) Each(name string) (words []string, values map[string]Value) {
	values = map[string]Value{}
	at := slices.IndexFunc(strings.Split(name, "."), func(w string) bool { return strings.HasPrefix(w, "$") })
	if at < 0 {
		bug("%q has no word that stands for any", name)
	}
	for key, said := range v.set {
		if said.Setting.Name == name {
			word := strings.Split(key, ".")[at]
			words = append(words, word)
			values[word] = said
		}
	}
	slices.Sort(words)
	return words, values
}

// All gives every setting that has a value, in the order of the list: its default or what was said.
func (v *Values) All() (list []Value) {
	said := map[string][]Value{}
	for _, value := range v.set {
		said[value.Setting.Name] = append(said[value.Setting.Name], value)
	}
	for i := range List {
		s := &List[i]
		values := said[s.Name]
		slices.SortFunc(values, func(a, b Value) int { return strings.Compare(a.Key, b.Key) })
		list = append(list, values...)
		if len(values) == 0 && !s.Open() && v.fallback(s) != "" {
			list = append(list, v.value(s.Name))
		}
	}
	return list
}

// Difference tells what a later Values changes: what a running broker takes, and what needs a start.
func (v *Values) Difference(later *Values) (reload, restart []Value) {
	before, after := v.byKey(), later.byKey()
	for key, value := range after {
		if old, ok := before[key]; !ok || old.Text != value.Text {
			reload, restart = sortOut(value, reload, restart)
		}
	}
	for key, value := range before {
		if _, ok := after[key]; !ok {
			value.Text, value.Where = later.fallback(value.Setting), "default"
			reload, restart = sortOut(value, reload, restart)
		}
	}
	byKey := func(a, b Value) int { return strings.Compare(a.Key, b.Key) }
	slices.SortFunc(reload, byKey)
	slices.SortFunc(restart, byKey)
	return reload, restart
}

func sortOut(value Value, reload, restart []Value) ([]Value, []Value) {
	if value.Setting.Reload {
		return append(reload, value), restart
	}
	return reload, append(restart, value)
}

func (v *Values) byKey() map[string]Value {
	m := map[string]Value{}
	for _, value := range v.All() {
		m[value.Key] = value
	}
	return m
}

// largestMessage is the most that max_message_size can be, as in RabbitMQ.
const largestMessage = 512 << 20

// agree checks what one setting alone does not show.
func (v *Values) agree() error {
	refuse := func(key, what string) error {
		return &ParseError{v.value(key).Where, key + ": " + what}
	}
	if v.Size("max_message_size") > largestMessage {
		return refuse("max_message_size", "is too high, the most is 536870912")
	}
	if (v.Text("ssl_options.certfile") == "") != (v.Text("ssl_options.keyfile") == "") {
		key := "ssl_options.certfile"
		if v.Text(key) == "" {
			key = "ssl_options.keyfile"
		}
		return refuse(key, "a certificate and its private key go together")
	}
	if text := v.Text("consumer_timeout"); text != "undefined" && text != "infinity" {
		if n, err := strconv.ParseInt(text, 10, 64); err != nil || n < 0 {
			return refuse("consumer_timeout", fmt.Sprintf("%q is neither a number of milliseconds nor undefined", text))
		}
	}
	return nil
}

func bug(format string, values ...any) { panic("settings: " + fmt.Sprintf(format, values...)) }
