package protocol

import (
	"math"
	"testing"
)

// The texts are those of Erlang's ~p.
func TestErlangTerm(t *testing.T) {
	for _, c := range []struct {
		value any
		want  string
	}{
		{nil, "undefined"}, {true, "true"}, {"a", `<<"a">>`}, {[]byte{0, 1}, "<<0,1>>"},
		{int8(-1), "-1"}, {uint8(255), "255"}, {int16(-300), "-300"}, {uint16(65535), "65535"}, {int32(-5), "-5"},
		{uint32(math.MaxUint32), "4294967295"}, {int64(math.MinInt64), "-9223372036854775808"},
		{Decimal{2, 314}, "{2,314}"}, {Timestamp(math.MaxUint64), "18446744073709551615"}, {float32(0.5), "0.5"},
		{Array{}, "[]"}, {Array{int32(1), "a"}, `[{signedint,1},{longstr,<<"a">>}]`},
		{Table{{"k", true}, {"n", nil}}, `[{<<"k">>,bool,true},{<<"n">>,void,undefined}]`},
	} {
		if got := ErlangTerm(c.value); got != c.want {
			t.Errorf("%v: got %s, want %s", c.value, got, c.want)
		}
	}
}

func TestErlangFloat(t *testing.T) {
	for f, want := range map[float64]string{
		0: "0.0", 1: "1.0", -1: "-1.0", 0.1: "0.1", 1.5: "1.5", 100: "100.0", 1000: "1.0e3", 60000: "6.0e4", 12345: "12345.0",
		0.01: "0.01", 0.001: "0.001", 0.0001: "0.0001", 0.00001: "1.0e-5", 1.25e-10: "1.25e-10", 1e22: "1.0e22", 1e-300: "1.0e-300",
		float64(float32(0.1)): "0.10000000149011612", 9007199254740991: "9007199254740991.0",
		9007199254740992: "9.007199254740992e15", -33767780406448936: "-3.3767780406448936e16", math.MaxFloat64: "1.7976931348623157e308",
	} {
		if got := ErlangFloat(f); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
