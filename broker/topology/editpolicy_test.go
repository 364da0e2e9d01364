package topology

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/warrenmq/warren/protocol"
)

// fromJSON decodes a value as the management API does.
func fromJSON(t testing.TB, text string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// text is what a refusal says, "" for none.
func text(err error) string {
	var refusal *protocol.Error
	if errors.As(err, &refusal) {
		return refusal.Text
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func wish(t testing.TB, pattern, definition string) PolicyWish {
	t.Helper()
	return PolicyWish{Pattern: pattern, Definition: fromJSON(t, definition)}
}

// TestPoliciesAreChecked in RabbitMQ's words.
func TestPoliciesAreChecked(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		operator         bool
		definition, says string
	}{
		{false, `{}`, "no policy provided"},
		{false, `{"bogus":1}`, `[{<<"bogus">>,1}] are not recognised policy settings`},
		{false, `{"b":"x","a":[1,{"k":"v"}],"max-length":1}`, `[{<<"a">>,[1,#{<<"k">> => <<"v">>}]},{<<"b">>,<<"x">>}] are not recognised policy settings`},
		{false, `{"bogus":1,"max-length":-1}`, "-1 is not a valid maximum length"},
		{false, `{"max-length":1.5}`, "1.5 is not a valid maximum length"},
		{false, `{"message-ttl":99999999999999999999}`, ""},
		{false, `{"message-ttl":-99999999999999999999}`, "-99999999999999999999 is not a valid message TTL"},
		{false, `{"expires":0}`, "0 is not a valid queue expiry"},
		{false, `{"overflow":"foo"}`, `<<"foo">> is not a valid overflow value`},
		{false, `{"overflow":"reject-publish-dlx","queue-mode":"lazy","queue-version":2,"max-age":"7D"}`, ""},
		{false, `{"queue-version":3}`, "3 is not a valid queue-version value"},
		{false, `{"dead-letter-exchange":5}`, "5 is not a valid dead letter exchange name"},
		{false, `{"delivery-limit":-1}`, ""},
		{false, `{"delivery-limit":"x"}`, `<<"x">> is not a valid delivery limit`},
		{false, `{"max-age":5}`, "5 is not a valid max age"},
		{false, `{"stream-filter-size-bytes":1}`, "1 is not a valid filter size. Valid range is 16-255"},
		{false, `{"stream-max-segment-size-bytes":4000000000}`, "4000000000 is not a valid segment size"},
		{false, `{"target-group-size":0}`, "0 is not a valid qq target count value"},
		{false, `{"delayed-retry-type":"all"}`, "delayed-retry-min is required when delayed-retry-type is all"},
		{false, `{"delayed-retry-type":"some"}`, `<<"some">> is not a valid delayed retry type. Must be one of: all, failed, returned, disabled`},
		{false, `{"delayed-retry-min":5,"delayed-retry-max":3}`, "delayed-retry-max (3) must not be smaller than delayed-retry-min (5)"},
		{true, `{"delivery-limit":3,"max-length":1,"overflow":"drop-head"}`, ""},
		{true, `{"alternate-exchange":"x"}`, `[{<<"alternate-exchange">>,<<"x">>}] are not recognised policy settings`},
		{true, `{"consumer-timeout":10}`, `[{<<"consumer-timeout">>,10}] are not recognised policy settings`},
	} {
		want := ""
		if c.says != "" {
			want = "Validation failed\n\n" + c.says + "\n"
		}
		_, err := w.PutPolicy(ctx, "/", "p", c.operator, wish(t, "x", c.definition), nil)
		if got := text(err); got != want {
			t.Errorf("%s: %q, want %q", c.definition, got, want)
		}
	}
	_, err := w.PutPolicy(ctx, "/", "p", false, PolicyWish{Pattern: json.Number("5"), ApplyTo: "foo", Priority: "x", Definition: fromJSON(t, `{"a":1}`)}, nil)
	if got := text(err); strings.Count(got, "\n") != 6 || !strings.Contains(got, "pattern should be a binary but was 5\npriority should be a number, actually was <<\"x\">>\n") {
		t.Errorf("several faults: %q", got)
	}
}

// TestPatternsThatCannotBe are described as PCRE describes them.
func TestPatternsThatCannotBe(t *testing.T) {
	for _, c := range []struct {
		pattern, says string
		at            int
	}{
		{"*", "quantifier does not follow a repeatable item", 1},
		{"a|*b", "quantifier does not follow a repeatable item", 3},
		{"ab**", "quantifier does not follow a repeatable item", 4},
		{"(", "missing closing parenthesis", 1},
		{"abc(", "missing closing parenthesis", 4},
		{`\)a)`, "unmatched closing parenthesis", 4},
		{"[", "missing terminating ] for character class", 1},
		{"[z-a]", "range out of order in character class", 4},
		{"a{2,1}", "numbers out of order in {} quantifier", 5},
		{`\`, `\ at end of pattern`, 1},
	} {
		_, err := CompilePattern(c.pattern)
		if err == nil {
			t.Errorf("%s compiles", c.pattern)
			continue
		}
		if says, at := (&PatternError{Pattern: c.pattern, Err: err}).Describe(); says != c.says || at != c.at {
			t.Errorf("%s: %q at %d, want %q at %d", c.pattern, says, at, c.says, c.at)
		}
	}
}

// TestPoliciesTakeEffectAtOnce on what is there, and let go of it at once.
func TestPoliciesTakeEffectAtOnce(t *testing.T) {
	w := newWorld(t)
	w.queue("q")
	var told []QueueChange
	w.Listen(func(c Change) { told = append(told, c.Queues...) })
	created, err := w.PutPolicy(ctx, "/", "p", false, wish(t, "^q", `{"max-length":5}`), nil)
	w.must(err)
	if !created || len(told) != 1 || told[0].After.Config.MaxLength != 5 || w.vhost().Policy("p") == nil {
		t.Fatalf("created %v, told %v", created, told)
	}
	created, err = w.PutPolicy(ctx, "/", "o", true, wish(t, "^q", `{"max-length":3}`), nil)
	w.must(err)
	if !created || w.vhost().Queue("q").Config.MaxLength != 3 || w.vhost().OperatorPolicy("o") == nil {
		t.Error("the operator's policy does not count")
	}
	if created, err = w.PutPolicy(ctx, "/", "p", false, wish(t, "^q", `{"max-length":2}`), nil); created || err != nil {
		t.Errorf("created again: %v, %v", created, err)
	}
	for _, operator := range []bool{false, true} {
		existed, err := w.DeletePolicy(ctx, "/", map[bool]string{false: "p", true: "o"}[operator], operator, nil)
		again, _ := w.DeletePolicy(ctx, "/", "p", operator, nil)
		if !existed || again || err != nil {
			t.Errorf("deleted %v, again %v, %v", existed, again, err)
		}
	}
	if q := w.vhost().Queue("q"); q.Policy != nil || q.Operator != nil || q.Config.MaxLength >= 0 {
		t.Errorf("left over: %+v", q.Config)
	}
	if _, err := w.PutPolicy(ctx, "none", "p", false, wish(t, "^q", `{"max-length":5}`), nil); !errors.Is(err, ErrNoVHost) {
		t.Error(err)
	}
}

func TestLimitsAndParameters(t *testing.T) {
	w := newWorld(t)
	_, err := w.PutUser(ctx, "u", func(r *UserRecord) error { return nil }, nil)
	w.must(err)
	number := func(s string) any { return fromJSON(t, s) }
	for _, c := range []struct {
		err  error
		says string
	}{
		{w.SetVHostLimit(ctx, "/", "max-queues", number("5"), nil), ""},
		{w.SetVHostLimit(ctx, "/", "max-connections", number("-1"), nil), ""},
		{w.SetVHostLimit(ctx, "/", "max-foo", number("5"), nil), "Validation failed\n\nUnrecognised terms [{<<\"max-foo\">>,5}] in limits\n"},
		{w.SetVHostLimit(ctx, "/", "max-queues", "5", nil), "Validation failed\n\nmax-queues should be a number, actually was <<\"5\">>\n"},
		{w.SetVHostLimit(ctx, "none", "max-queues", number("5"), nil), ErrNoVHost.Text},
		{w.SetUserLimit(ctx, "u", "max-channels", number("7"), nil), ""},
		{w.SetUserLimit(ctx, "u", "max-foo", number("5"), nil), `Unrecognised terms [{<<"max-foo">>,5}] in user-limits`},
		{w.SetUserLimit(ctx, "none", "max-channels", number("5"), nil), ErrNoUser.Text},
	} {
		if got := text(c.err); got != c.says {
			t.Errorf("%q, want %q", got, c.says)
		}
	}
	if n, ok := w.vhost().Limit("max-queues"); n != 5 || !ok {
		t.Error(n, ok)
	}
	if n, ok := w.Catalog().User("u").Limit("max-channels"); n != 7 || !ok {
		t.Error(n, ok)
	}
	w.must(w.ClearVHostLimit(ctx, "/", "max-queues", nil))
	w.must(w.ClearUserLimit(ctx, "u", "max-channels", nil))
	if _, ok := w.vhost().Limit("max-queues"); ok || len(w.Catalog().User("u").Limits) > 0 {
		t.Error("a limit is left")
	}
	if _, err := w.PutParameter(ctx, "/", "foo", "n", nil, nil); text(err) != "Validation failed\n\ncomponent foo not found\n" {
		t.Error(err)
	}
	created, err := w.PutParameter(ctx, "/", "federation-upstream", "up", fromJSON(t, `{"uri":"amqp://x"}`), nil)
	w.must(err)
	global, err := w.PutGlobal(ctx, "g", fromJSON(t, `{"a":1}`), nil)
	w.must(err)
	after := w.restarted()
	if p := after.VHost("/").Parameter("federation-upstream", "up"); !created || !global || string(p.Value) != `{"uri":"amqp://x"}` || string(after.Global("g").Value) != `{"a":1}` {
		t.Error("parameters do not last")
	}
	existed, err := w.DeleteParameter(ctx, "/", "federation-upstream", "up", nil)
	gone, err2 := w.DeleteGlobal(ctx, "g", nil)
	if !existed || !gone || err != nil || err2 != nil {
		t.Error(existed, gone, err, err2)
	}
}

// TestTopicPermissionsFillNames where they would no longer be a pattern, they are refused and not stored.
func TestTopicPermissionsFillNames(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"z-a", "u"} {
		_, err := w.PutUser(ctx, name, func(r *UserRecord) error { return nil }, nil)
		w.must(err)
	}
	var fault *PatternError
	if _, err := w.PutTopicPermission(ctx, "/", "z-a", "amq.topic", "[{username}]", "", nil); !errors.As(err, &fault) {
		t.Error(err)
	}
	if _, err := w.PutTopicPermission(ctx, "/", "u", "none", "", "", nil); !errors.Is(err, ErrNoExchange) {
		t.Error(err)
	}
	created, err := w.PutTopicPermission(ctx, "/", "u", "amq.topic", "^{username}$", "", nil)
	w.must(err)
	if p := w.vhost().TopicPermission("u", "amq.topic"); !created || !p.Permits(Write, "u") || p.Permits(Write, "x") || p.Permits(Read, "u") {
		t.Error("not what was given")
	}
	existed, err := w.DeleteTopicPermissions(ctx, "/", "u", nil, nil)
	w.must(err)
	if !existed || w.vhost().TopicPermission("u", "amq.topic") != nil {
		t.Error("still there")
	}
}
