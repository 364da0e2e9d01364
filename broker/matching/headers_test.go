package matching

import (
	"strings"
	"testing"

	"github.com/warrenmq/warren/protocol"
)

// table makes a field table of pairs.
func table(pairs ...any) protocol.Table {
	t := protocol.Table{}
	for i := 0; i < len(pairs); i += 2 {
		t = append(t, protocol.Field{Key: pairs[i].(string), Value: pairs[i+1]})
	}
	return t
}

func matchesHeaders(t *testing.T, arguments, headers protocol.Table) bool {
	t.Helper()
	x := empty(t, "headers").With(prepared(t, "headers", "ignored", "q", arguments))
	return len(names(x, &Message{Key: "any", Headers: headers.Raw()})) == 1
}

func TestHeadersModes(t *testing.T) {
	for _, c := range []struct {
		what               string
		arguments, headers protocol.Table
		want               bool
	}{
		{"all is the default", table("a", "1", "b", "2"), table("a", "1", "b", "2", "c", "3"), true},
		{"all wants every one", table("a", "1", "b", "2"), table("a", "1"), false},
		{"all wants equal values", table("a", "1"), table("a", "2"), false},
		{"all by name", table("x-match", "all", "a", "1"), table("a", "1"), true},
		{"all without anything else", table(), table("a", "1"), true},
		{"all without headers either", table(), table(), true},
		{"all wants headers that are not there", table("a", "1"), table(), false},
		{"any takes one", table("x-match", "any", "a", "1", "b", "2"), table("b", "2"), true},
		{"any wants one", table("x-match", "any", "a", "1", "b", "2"), table("a", "2", "b", "1", "c", "3"), false},
		{"any without anything else", table("x-match", "any"), table("a", "1"), false},
		{"any without headers", table("x-match", "any", "a", "1"), table(), false},
		{"all ignores x-", table("a", "1", "x-b", "2"), table("a", "1"), true},
		{"all with nothing but x-", table("x-b", "2"), table(), true},
		{"any ignores x-", table("x-match", "any", "x-b", "2"), table("x-b", "2"), false},
		{"all-with-x looks at x-", table("x-match", "all-with-x", "a", "1", "x-b", "2"), table("a", "1"), false},
		{"all-with-x takes x-", table("x-match", "all-with-x", "a", "1", "x-b", "2"), table("a", "1", "x-b", "2"), true},
		{"any-with-x takes x-", table("x-match", "any-with-x", "a", "1", "x-b", "2"), table("x-b", "2"), true},
		{"any-with-x wants one", table("x-match", "any-with-x", "x-b", "2"), table("x-b", "3"), false},
		{"x-match itself is never wanted", table("x-match", "all-with-x"), table(), true},
		{"x-match of the message is nothing special", table("x-match", "any-with-x", "a", "1"), table("x-match", "any-with-x"), false},
		{"presence is enough for void", table("a", nil), table("a", "whatever"), true},
		{"void wants presence", table("a", nil), table("b", "1"), false},
		{"a void header is no value", table("a", "1"), table("a", nil), false},
		{"void matches void", table("a", nil), table("a", nil), true},
		{"any with a void", table("x-match", "any", "a", nil, "b", "1"), table("a", int32(7)), true},
		{"names are case sensitive", table("a", "1"), table("A", "1"), false},
		{"the first of two headers counts", table("a", "1"), table("a", "1", "a", "2"), true},
	} {
		if got := matchesHeaders(t, c.arguments, c.headers); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}

// TestHeadersCompareEveryType holds the value of each type against all the others.
func TestHeadersCompareEveryType(t *testing.T) {
	values := []struct {
		value any
		class string // values of the same class are equal; "" equals nothing, not even itself
	}{
		{true, "true"}, {false, "false"},
		{int8(5), "5"}, {uint8(5), "5"}, {int16(5), "5"}, {uint16(5), "5"}, {int32(5), "5"}, {uint32(5), "5"}, {int64(5), "5"},
		{int8(-1), "-1"}, {int64(-1), "-1"}, {uint8(255), "255"}, {uint32(4294967295), "4294967295"}, {int32(1), "1"},
		{float32(5), "5.0"}, {float64(5), "5.0"}, {float32(1.5), "1.5"}, {float64(1.5), "1.5"},
		{protocol.Decimal{Scale: 1, Value: 50}, "decimal 50"}, {protocol.Decimal{Scale: 2, Value: 500}, "decimal 500"},
		{"5", "text 5"}, {[]byte("5"), "text 5"}, {"", "text"}, {[]byte{}, "text"}, {"ä", "text ä"},
		{protocol.Timestamp(5), ""},
		{protocol.Array{int32(1), "a"}, "array"}, {protocol.Array{}, "empty array"},
		{table("k", "v"), "table"}, {table(), "empty table"},
	}
	for _, want := range values {
		for _, have := range values {
			equal := want.class == have.class && want.class != ""
			if _, stamp := want.value.(protocol.Timestamp); stamp {
				continue // see TestTimestampHeadersNeverMatchByValue
			}
			if got := matchesHeaders(t, table("h", want.value), table("h", have.value)); got != equal {
				t.Errorf("%T %v against %T %v: %v", want.value, want.value, have.value, have.value, got)
			}
		}
		if !matchesHeaders(t, table("h", nil), table("h", want.value)) {
			t.Errorf("%T %v does not satisfy void", want.value, want.value)
		}
	}
}

func TestTimestampHeadersNeverMatchByValue(t *testing.T) {
	stamp := protocol.Timestamp(1700000000)
	if matchesHeaders(t, table("h", stamp), table("h", stamp)) {
		t.Error("a timestamp matches itself")
	}
	if !matchesHeaders(t, table("h", nil), table("h", stamp)) {
		t.Error("a timestamp does not satisfy void")
	}
}

func TestHeadersRefuseOtherModes(t *testing.T) {
	for _, c := range []struct {
		mode any
		want string
	}{
		{"some", `Invalid x-match field value <<"some">>; expected all, any, all-with-x, or any-with-x`},
		{"", `Invalid x-match field value <<>>; expected all, any, all-with-x, or any-with-x`},
		{"ALL", `Invalid x-match field value <<"ALL">>; expected all, any, all-with-x, or any-with-x`},
		{int32(1), `Invalid x-match field type signedint (value 1); expected longstr`},
		{true, `Invalid x-match field type bool (value true); expected longstr`},
		{nil, `Invalid x-match field type void (value undefined); expected longstr`},
	} {
		b := &Binding{Arguments: table("x-match", c.mode).Raw(), Target: &Target{}}
		refusal := kind(t, "headers").Prepare(b)
		if refusal == nil || refusal.Code != protocol.CodePreconditionFailed || refusal.Text != c.want {
			t.Errorf("%v: got %v, want %s", c.mode, refusal, c.want)
		}
	}
}

// FuzzHeaders gives tables of any shape to both sides: nothing may crash, and a binding without wishes matches.
func FuzzHeaders(f *testing.F) {
	f.Add([]byte(table("a", "1", "x-match", "any").Raw()), []byte(table("a", int64(1)).Raw()))
	f.Add([]byte(table("a", nil).Raw()), []byte(table("a", table("b", protocol.Array{"c"})).Raw()))
	f.Fuzz(func(t *testing.T, arguments, headers []byte) {
		a, h := protocol.RawTable(arguments), protocol.RawTable(headers)
		if a.Validate() != nil || h.Validate() != nil {
			return
		}
		b := &Binding{Arguments: a, Target: &Target{Name: "q"}}
		if kind(t, "headers").Prepare(b) != nil {
			return
		}
		found := len(names(empty(t, "headers").With(b), &Message{Headers: h})) == 1
		if len(b.headers.wanted) == 0 && found == b.headers.any {
			t.Errorf("%q without wishes: %v", strings.ToValidUTF8(string(arguments), "?"), found)
		}
	})
}
