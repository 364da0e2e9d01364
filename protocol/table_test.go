package protocol

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"
)

// every is a table with every type in it, and its octets written by hand from
// the list of RabbitMQ's types.
var (
	every = Table{
		{"t", true}, {"b", int8(-2)}, {"B", uint8(254)}, {"s", int16(-2)}, {"u", uint16(65534)},
		{"I", int32(-2)}, {"i", uint32(4294967294)}, {"l", int64(-2)},
		{"f", float32(1.5)}, {"d", -2.5}, {"D", Decimal{2, 4294967295}}, {"T", Timestamp(1700000000)},
		{"S", "hi"}, {"x", []byte{0, 255}}, {"A", Array{int32(1), "a", nil}}, {"F", Table{{"k", false}}}, {"V", nil},
	}
	everyRaw = strings.Join([]string{
		"\x01tt\x01", "\x01bb\xfe", "\x01BB\xfe", "\x01ss\xff\xfe", "\x01uu\xff\xfe",
		"\x01II\xff\xff\xff\xfe", "\x01ii\xff\xff\xff\xfe", "\x01ll\xff\xff\xff\xff\xff\xff\xff\xfe",
		"\x01ff\x3f\xc0\x00\x00", "\x01dd\xc0\x04\x00\x00\x00\x00\x00\x00", "\x01DD\x02\xff\xff\xff\xff", "\x01TT\x00\x00\x00\x00\x65\x53\xf1\x00",
		"\x01SS\x00\x00\x00\x02hi", "\x01xx\x00\x00\x00\x02\x00\xff",
		"\x01AA\x00\x00\x00\x0cI\x00\x00\x00\x01S\x00\x00\x00\x01aV", "\x01FF\x00\x00\x00\x04\x01kt\x00", "\x01VV",
	}, "")
	everyName = []string{"bool", "byte", "unsignedbyte", "short", "unsignedshort", "signedint", "unsignedint", "long",
		"float", "double", "decimal", "timestamp", "longstr", "binary", "array", "table", "void"}
)

func TestTableIsEncodedAsRabbitMQDoes(t *testing.T) {
	if got := every.Raw(); string(got) != everyRaw {
		t.Errorf("got  %q\nwant %q", got, everyRaw)
	}
	raw := RawTable(everyRaw)
	if err := raw.Validate(); err != nil {
		t.Fatal(err)
	}
	if got := raw.Decode(); !reflect.DeepEqual(got, every) {
		t.Errorf("got %v, want %v", got, every)
	}
}

func TestTypeNames(t *testing.T) {
	for i, f := range every {
		v, _ := RawTable(everyRaw).Lookup(f.Key)
		if TypeName(f.Value) != everyName[i] || v.TypeName() != everyName[i] {
			t.Errorf("%s: %s and %s, want %s", f.Key, TypeName(f.Value), v.TypeName(), everyName[i])
		}
	}
	wantPanic(t, "a field value of type int", func() { AppendValue(nil, 1) })
}

func TestRawValueAccessors(t *testing.T) {
	raw := RawTable(everyRaw)
	for key, want := range map[string]int64{"b": -2, "B": 254, "s": -2, "u": 65534, "I": -2, "i": 4294967294, "l": -2} {
		if v, _ := raw.Lookup(key); !isInt(v, want) {
			t.Errorf("%s: %v is not %d", key, v, want)
		}
	}
	for _, key := range []string{"t", "f", "d", "D", "T", "S", "x", "A", "F", "V"} {
		if v, _ := raw.Lookup(key); isInt(v, 0) {
			t.Errorf("%s is an integer", key)
		}
	}
	get := func(key string) RawValue { v, _ := raw.Lookup(key); return v }
	if v, ok := get("f").Float(); !ok || v != 1.5 {
		t.Error("f", v, ok)
	}
	if v, ok := get("d").Float(); !ok || v != -2.5 {
		t.Error("d", v, ok)
	}
	if v, ok := get("t").Bool(); !ok || !v {
		t.Error("t", v, ok)
	}
	if v, ok := get("S").Bytes(); !ok || string(v) != "hi" {
		t.Error("S", v, ok)
	}
	if v, ok := get("x").Bytes(); !ok || string(v) != "\x00\xff" {
		t.Error("x", v, ok)
	}
	if v, ok := get("F").Table(); !ok || string(v) != "\x01kt\x00" {
		t.Error("F", v, ok)
	}
	var elements []any
	array, ok := get("A").Array()
	for v := range array.Each {
		elements = append(elements, v.Decode())
	}
	if !ok || !reflect.DeepEqual(elements, []any{int32(1), "a", nil}) {
		t.Error("A", elements, ok)
	}
	for _, wrong := range []bool{second(get("S").Float()), second(get("S").Bool()), second(get("I").Bytes()), second(get("A").Table()), second(get("F").Array())} {
		if wrong {
			t.Error("an accessor took a value of another type")
		}
	}
}

func isInt(v RawValue, want int64) bool {
	got, ok := v.Int()
	return ok && got == want
}

func second[T any](_ T, ok bool) bool { return ok }

func TestLookupTakesTheFirst(t *testing.T) {
	table := Table{{"a", int32(1)}, {"b", int32(2)}, {"a", "late"}, {"", nil}}
	raw := table.Raw()
	if err := raw.Validate(); err != nil {
		t.Fatal(err)
	}
	if v, ok := raw.Lookup("a"); !ok || !isInt(v, 1) {
		t.Error(v, ok)
	}
	if v, ok := table.Get("a"); !ok || v != int32(1) {
		t.Error(v, ok)
	}
	if v, ok := raw.Lookup(""); !ok || v.Tag != 'V' {
		t.Error(v, ok)
	}
	if _, ok := raw.Lookup("c"); ok {
		t.Error("found what is not there")
	}
	if _, ok := table.Get("c"); ok {
		t.Error("found what is not there")
	}
	keys := ""
	for key := range raw.Each {
		if keys += string(key); keys == "ab" {
			break
		}
	}
	if keys != "ab" {
		t.Error(keys)
	}
}

func TestCanonicalFormTellsBindingsApart(t *testing.T) {
	base := Table{{"b", int32(1)}, {"a", "x"}}
	for _, c := range []struct {
		other RawTable
		same  bool
	}{
		{Table{{"a", "x"}, {"b", int32(1)}}.Raw(), true},
		{Table{{"a", "x"}, {"b", int64(1)}}.Raw(), false},
		{Table{{"a", []byte("x")}, {"b", int32(1)}}.Raw(), false},
		{Table{{"a", "x"}}.Raw(), false},
		{Table{{"a", "x"}, {"b", int32(1)}, {"b", int32(1)}}.Raw(), false},
	} {
		if same := bytes.Equal(base.Raw().Canonical(), c.other.Canonical()); same != c.same {
			t.Errorf("%v: same is %v", c.other.Decode(), same)
		}
	}
	if base[0].Key != "b" {
		t.Error("Sorted sorted its receiver")
	}
	alike := func(a, b string) bool { return bytes.Equal(RawTable(a).Canonical(), RawTable(b).Canonical()) }
	if !alike("\x01kL\x00\x00\x00\x00\x00\x00\x00\x05", "\x01kl\x00\x00\x00\x00\x00\x00\x00\x05") || !alike("\x01kt\x02", "\x01kt\x01") {
		t.Error("two forms of the same value")
	}
	if alike("\x01at\x01\x01at\x00", "\x01at\x00\x01at\x01") {
		t.Error("equal keys lost their order")
	}
}

func TestRawValueEqual(t *testing.T) {
	long := []byte{0, 0, 0, 0, 0, 0, 0, 5}
	for _, c := range []struct {
		v, w RawValue
		same bool
	}{
		{RawValue{'l', long}, RawValue{'L', long}, true},
		{RawValue{'l', long}, RawValue{'T', long}, false},
		{RawValue{'t', []byte{1}}, RawValue{'t', []byte{7}}, true},
		{RawValue{'t', []byte{1}}, RawValue{'t', []byte{0}}, false},
		{RawValue{'S', []byte("a")}, RawValue{'S', []byte("a")}, true},
		{RawValue{'S', []byte("a")}, RawValue{'x', []byte("a")}, false},
		{RawValue{'V', nil}, RawValue{'V', []byte{}}, true},
	} {
		if c.v.Equal(c.w) != c.same || c.w.Equal(c.v) != c.same {
			t.Errorf("%v and %v: same is %v", c.v, c.w, !c.same)
		}
	}
}

func TestLIsReadAndNeverWritten(t *testing.T) {
	raw := RawTable("\x01kL\xff\xff\xff\xff\xff\xff\xff\xff")
	if err := raw.Validate(); err != nil {
		t.Fatal(err)
	}
	table := raw.Decode()
	if v, _ := table.Get("k"); v != int64(-1) {
		t.Errorf("got %v", v)
	}
	if raw = table.Raw(); raw[2] != 'l' {
		t.Errorf("wrote tag %c", raw[2])
	}
}

func TestValidateRefusals(t *testing.T) {
	for raw, want := range map[string]string{
		"\x01kU\x00\x00":                        "unknown field type 'U'",
		"\x01kZ":                                "unknown field type 'Z'",
		"\x01k\x00":                             "unknown field type '\\x00'",
		"\x05k":                                 "beyond the table",
		"\x01k":                                 "beyond the table",
		"\x01kI\x00\x00\x00":                    "beyond the table",
		"\x01kS\x00\x00\x00":                    "beyond the table",
		"\x01kS\x00\x00\x00\x02a":               "beyond the table",
		"\x01kS\xff\xff\xff\xff":                "beyond the table",
		"\x01kx\x7f\xff\xff\xff":                "beyond the table",
		"\x01kF\x80\x00\x00\x00":                "beyond the table",
		"\x01kF\x00\x00\x00\x02\x01a\x01jt\x00": "beyond the table", // not within the inner table
		"\x01kA\x00\x00\x00\x03t\x00I\x00\x00\x00\x00": "beyond the table",
		"\x01kA\x00\x00\x00\x01U":                      "unknown field type 'U'",
		"\x01kf\x7f\xc0\x00\x00":                       "NaN is not a number",
		"\x01kf\x7f\x80\x00\x00":                       "+Inf is not a number",
		"\x01kd\xff\xf0\x00\x00\x00\x00\x00\x00":       "-Inf is not a number",
		"\x01kd\x7f\xf8\x00\x00\x00\x00\x00\x01":       "NaN is not a number",
	} {
		err := RawTable(raw).Validate()
		refusal, ok := err.(*Error)
		if !ok || refusal.Code != CodeSyntaxError || !strings.Contains(refusal.Text, want) {
			t.Errorf("%q: got %v, want %q", raw, err, want)
		}
	}
}

func TestEveryPrefixOfATableIsRefused(t *testing.T) {
	ends := map[int]bool{}
	for i := range every {
		ends[len(every[:i].Raw())] = true
	}
	for n := range everyRaw {
		if err := RawTable(everyRaw[:n]).Validate(); (err == nil) != ends[n] {
			t.Errorf("%d octets: %v", n, err)
		}
	}
}

// nested lies depth tables, or arrays, in each other.
func nested(depth int, array bool) RawTable {
	if array {
		value := any(Array{})
		for range depth - 2 {
			value = Array{value}
		}
		return Table{{"k", value}}.Raw()
	}
	table := Table{}
	for range depth - 1 {
		table = Table{{"k", table}}
	}
	return table.Raw()
}

func TestDepthIsLimited(t *testing.T) {
	for _, array := range []bool{false, true} {
		deepest := nested(TableDepthMax, array)
		if err := deepest.Validate(); err != nil {
			t.Error(err)
		}
		if err := deepest.Decode().Raw().Validate(); err != nil {
			t.Error(err)
		}
		for _, depth := range []int{TableDepthMax + 1, 20000} {
			err := nested(depth, array).Validate()
			if err == nil || !strings.Contains(err.Error(), "deeper than 64") {
				t.Errorf("depth %d: %v", depth, err)
			}
		}
	}
}

// Depth counts what is open, not what was: siblings may be many, and a table
// after an array at the same depth is read as a table.
func TestSiblingsDoNotAddDepth(t *testing.T) {
	var table Table
	for range 100 {
		table = append(table, Field{"a", Array{Array{}, Table{{"k", int8(1)}}, "s"}}, Field{"f", Table{{"k", Array{nil}}}})
	}
	if err := table.Raw().Validate(); err != nil {
		t.Error(err)
	}
}

func TestEntriesAreLimited(t *testing.T) {
	fields := func(n int) RawTable { return bytes.Repeat([]byte("\x00V"), n) }
	if err := fields(TableEntriesMax).Validate(); err != nil {
		t.Error(err)
	}
	zeroWidth := AppendField(nil, "k", Array(make([]any, TableEntriesMax-1)))
	if err := RawTable(zeroWidth).Validate(); err != nil {
		t.Error(err)
	}
	for _, raw := range []RawTable{
		fields(TableEntriesMax + 1),
		fields(100000),
		append(zeroWidth, "\x00V"...),
		AppendField(nil, "k", Array(make([]any, 1<<17))),
	} {
		if err := raw.Validate(); err == nil || !strings.Contains(err.Error(), "more than 8192 entries") {
			t.Errorf("%d octets: %v", len(raw), err)
		}
	}
}

func TestLongKeys(t *testing.T) {
	key := strings.Repeat("k", 255)
	raw := Table{{key, int8(1)}}.Raw()
	if err := raw.Validate(); err != nil {
		t.Error(err)
	}
	if _, ok := raw.Lookup(key); !ok {
		t.Error("lost")
	}
	wantPanic(t, "a shortstr of 256 octets", func() { AppendField(nil, key+"k", nil) })
}

func TestExtremeNumbers(t *testing.T) {
	table := Table{
		{"a", int64(math.MinInt64)}, {"b", Timestamp(math.MaxUint64)}, {"c", math.MaxFloat64},
		{"d", float32(math.SmallestNonzeroFloat32)}, {"e", int8(-128)}, {"f", int32(math.MinInt32)},
	}
	if got := table.Raw().Decode(); !reflect.DeepEqual(got, table) {
		t.Errorf("got %v", got)
	}
}
