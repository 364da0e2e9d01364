package protocol

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// sample returns the method with every field set, to values that differ from
// field to field; round says which of several samples.
func sample(id MethodID, round int) Method {
	m := newMethod(id)
	v := reflect.ValueOf(m).Elem()
	for i := range v.NumField() {
		n := uint64(i + round)
		switch f := v.Field(i); f.Interface().(type) {
		case bool:
			f.SetBool(n%2 == 0)
		case uint8, uint16, uint32, uint64:
			f.SetUint((0xF1F2F3F4F5F6F7F8 + n) & (1<<f.Type().Bits() - 1))
		case string:
			f.SetString(strings.Repeat("ä", 1+round*40) + string(rune('a'+i)))
		case []byte:
			f.SetBytes([]byte(strings.Repeat("b", 1+round*100) + string(rune('a'+i))))
		case RawTable:
			f.Set(reflect.ValueOf(Table{{"key", int32(i)}, {"nested", Table{{"a", Array{true, "x"}}}}}.Raw()))
		default:
			panic("no sample for " + f.Type().String())
		}
	}
	return m
}

// payload is the payload of the method's frame.
func payload(m Method) []byte {
	frame := AppendMethodFrame(nil, 0, m)
	return frame[frameHead : len(frame)-1]
}

func TestEveryMethodRoundTrips(t *testing.T) {
	for _, id := range allMethods {
		for round := range 3 {
			m := sample(id, round)
			got, err := DecodeMethod(payload(m))
			if err != nil {
				t.Fatalf("%v: %v", id, err)
			}
			if !reflect.DeepEqual(got, m) {
				t.Errorf("%v: got %+v, want %+v", id, got, m)
			}
		}
	}
}

func TestDecodeReplacesEveryField(t *testing.T) {
	for _, id := range allMethods {
		m, want := sample(id, 1), sample(id, 2)
		if err := m.Decode(want.AppendArgs(nil)); err != nil {
			t.Fatalf("%v: %v", id, err)
		}
		if !reflect.DeepEqual(m, want) {
			t.Errorf("%v: got %+v, want %+v", id, m, want)
		}
	}
}

func TestEveryMethodIsNamed(t *testing.T) {
	if len(allMethods) != 66 {
		t.Errorf("%d methods, want 66", len(allMethods))
	}
	for _, id := range allMethods {
		m := newMethod(id)
		if m == nil || m.ID() != id {
			t.Fatalf("newMethod(%v) = %T", id, m)
		}
		goName := strings.ToLower(reflect.TypeOf(m).Elem().Name())
		if name := strings.NewReplacer(".", "", "-", "").Replace(id.String()); name != goName {
			t.Errorf("%v is the id of %s", id, goName)
		}
	}
	if s := MethodID(77<<16 | 10).String(); s != "method 77.10" {
		t.Errorf("unknown id prints as %q", s)
	}
}

// The octets are written out by hand from spec 4.2.4 and 1.4 to 1.9.
func TestMethodsAreEncodedAsSpecified(t *testing.T) {
	table := Table{{"k", "v"}}.Raw()
	for _, c := range []struct {
		m    Method
		want string // class method, then the arguments
	}{
		{&ConnectionStart{0, 9, table, "PLAIN", "en_US"},
			"000a 000a 00 09 00000008 01 6b 53 00000001 76 00000005 504c41494e 00000005 656e5f5553"},
		{&ConnectionStartOk{nil, "PLAIN", "\x00g\x00g", "en_US"}, "000a 000b 00000000 05 504c41494e 00000004 00670067 05 656e5f5553"},
		{&ConnectionTune{2047, 131072, 60}, "000a 001e 07ff 00020000 003c"},
		{&ConnectionTuneOk{2047, 131072, 60}, "000a 001f 07ff 00020000 003c"},
		{&ConnectionOpen{"/"}, "000a 0028 01 2f 00 00"},
		{&ConnectionOpenOk{}, "000a 0029 00"},
		{&ConnectionClose{320, "bye", 60, 40}, "000a 0032 0140 03 627965 003c 0028"},
		{&ConnectionCloseOk{}, "000a 0033"},
		{&ConnectionBlocked{"low"}, "000a 003c 03 6c6f77"},
		{&ConnectionUpdateSecret{"s", "why"}, "000a 0046 00000001 73 03 776879"},
		{&ChannelOpen{}, "0014 000a 00"},
		{&ChannelOpenOk{}, "0014 000b 00000000"},
		{&ChannelFlow{true}, "0014 0014 01"},
		{&ChannelClose{404, "NOT_FOUND", 50, 10}, "0014 0028 0194 09 4e4f545f464f554e44 0032 000a"},
		{&AccessRequest{"/", true, false, true, true, true}, "001e 000a 01 2f 1d"},
		{&AccessRequestOk{1}, "001e 000b 0001"},
		{&ExchangeDeclare{"x", "topic", false, true, false, true, false, nil}, "0028 000a 0000 01 78 05 746f706963 0a 00000000"},
		{&ExchangeBind{"d", "s", "k", true, nil}, "0028 001e 0000 01 64 01 73 01 6b 01 00000000"},
		{&ExchangeUnbindOk{}, "0028 0033"},
		{&QueueDeclare{"q", true, false, true, false, true, table}, "0032 000a 0000 01 71 15 00000008 01 6b 53 00000001 76"},
		{&QueueDeclareOk{"q", 3, 4}, "0032 000b 01 71 00000003 00000004"},
		{&QueueBind{"q", "x", "k", false, nil}, "0032 0014 0000 01 71 01 78 01 6b 00 00000000"},
		{&QueueUnbind{"q", "x", "k", nil}, "0032 0032 0000 01 71 01 78 01 6b 00000000"},
		{&QueueDelete{"q", false, true, false}, "0032 0028 0000 01 71 02"},
		{&BasicQos{0, 10, true}, "003c 000a 00000000 000a 01"},
		{&BasicConsume{"q", "c", false, true, false, true, nil}, "003c 0014 0000 01 71 01 63 0a 00000000"},
		{&BasicPublish{[]byte("x"), []byte("rk"), true, false}, "003c 0028 0000 01 78 02 726b 01"},
		{&BasicReturn{312, []byte("NO_ROUTE"), nil, []byte("rk")}, "003c 0032 0138 08 4e4f5f524f555445 00 02 726b"},
		{&BasicDeliver{[]byte("c"), 258, true, nil, []byte("q")}, "003c 003c 01 63 0000000000000102 01 00 01 71"},
		{&BasicGetOk{1, false, []byte("x"), []byte("k"), 7}, "003c 0047 0000000000000001 00 01 78 01 6b 00000007"},
		{&BasicGetEmpty{}, "003c 0048 00"},
		{&BasicAck{5, true}, "003c 0050 0000000000000005 01"},
		{&BasicReject{5, true}, "003c 005a 0000000000000005 01"},
		{&BasicNack{5, false, true}, "003c 0078 0000000000000005 02"},
		{&BasicRecoverAsync{true}, "003c 0064 01"},
		{&ConfirmSelect{true}, "0055 000a 01"},
		{&TxRollbackOk{}, "005a 001f"},
	} {
		want, err := hex.DecodeString(strings.ReplaceAll(c.want, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if got := payload(c.m); !bytes.Equal(got, want) {
			t.Errorf("%v: %x, want %x", c.m.ID(), got, want)
		}
	}
}

func TestEveryMethodRefusesWrongLengths(t *testing.T) {
	for _, id := range allMethods {
		args := sample(id, 0).AppendArgs(nil)
		for n := range args {
			wantRefusal(t, newMethod(id).Decode(args[:n]), CodeFrameError, id, "cannot decode ")
		}
		wantRefusal(t, newMethod(id).Decode(append(args, 0)), CodeFrameError, id, "cannot decode ")
	}
}

func wantRefusal(t *testing.T, err error, code uint16, id MethodID, text string) {
	t.Helper()
	var refusal *Error
	if !errors.As(err, &refusal) {
		t.Fatalf("%v: got %v, want a refusal", id, err)
	}
	if refusal.Code != code || refusal.Method != id || !strings.HasPrefix(refusal.Text, text) {
		t.Errorf("%v: got %+v, want %d %q", id, refusal, code, text)
	}
}

func TestDecodeRefusals(t *testing.T) {
	queueDeclare := func(name, table string) []byte {
		args := append([]byte{0, 0, byte(len(name))}, name...)
		args = append(args, 0, 0, 0, 0, byte(len(table)))
		return append(args, table...)
	}
	for _, c := range []struct {
		args []byte
		code uint16
		id   MethodID
		text string
	}{
		{[]byte{0, 0, 5, 'a'}, CodeFrameError, QueueDeclareID, "cannot decode <<0,0,5,97>>"},
		{queueDeclare("q\xff", ""), CodeFrameError, 0, "Malformed UTF-8 in shortstr"},
		{queueDeclare("\xed\xa0\x80", ""), CodeFrameError, 0, "Malformed UTF-8 in shortstr"},
		{append(queueDeclare("q\xff", ""), 1), CodeFrameError, QueueDeclareID, "cannot decode <<0,0,2,113,255,"},
		{queueDeclare("q", "\x01kZ"), CodeSyntaxError, QueueDeclareID, "field table: unknown field type 'Z'"},
		{queueDeclare("q\xff", "\x01kZ"), CodeFrameError, 0, "Malformed UTF-8 in shortstr"},
	} {
		wantRefusal(t, new(QueueDeclare).Decode(c.args), c.code, c.id, c.text)
	}
}

// A method with content may carry names that are not UTF-8; no other may.
func TestBinaryRoutingKeyIsAccepted(t *testing.T) {
	want := &BasicPublish{Exchange: []byte("x"), RoutingKey: []byte{0xFF, 0x00, 0xC3}}
	var m BasicPublish
	if err := m.Decode(want.AppendArgs(nil)); err != nil || !reflect.DeepEqual(&m, want) {
		t.Errorf("got %+v, %v", m, err)
	}
	var get BasicGet
	wantRefusal(t, get.Decode([]byte{0, 0, 1, 0xFF, 0}), CodeFrameError, 0, "Malformed UTF-8")
	var open ChannelOpen // its only field is reserved, and checked all the same
	wantRefusal(t, open.Decode([]byte{1, 0xFF}), CodeFrameError, 0, "Malformed UTF-8")
}

func TestUnknownMethod(t *testing.T) {
	for _, payload := range [][]byte{{0, 77, 0, 10}, {0, 50, 0, 99, 1, 2}, {0, 0, 0, 0}, {0, 50}, nil} {
		id, _ := SplitMethod(payload)
		m, err := DecodeMethod(payload)
		if m != nil || !errors.Is(err, ErrUnknownMethod) {
			t.Errorf("DecodeMethod(%v) = %v, %v", payload, m, err)
		}
		wantRefusal(t, err, CodeCommandInvalid, id, "unknown method")
	}
}

func TestUnusedBitsAreIgnored(t *testing.T) {
	var m BasicAck
	if err := m.Decode([]byte{0, 0, 0, 0, 0, 0, 0, 1, 0xFE}); err != nil || m.Multiple {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestContentFollowsFourMethods(t *testing.T) {
	for _, id := range allMethods {
		want := id == BasicPublishID || id == BasicReturnID || id == BasicDeliverID || id == BasicGetOkID
		if id.HasContent() != want {
			t.Errorf("%v.HasContent() = %v", id, !want)
		}
	}
}

func TestOverlongShortstrPanics(t *testing.T) {
	wantPanic(t, "a shortstr of 256 octets", func() {
		AppendMethodFrame(nil, 0, &ConnectionBlocked{Reason: strings.Repeat("x", 256)})
	})
}

func wantPanic(t *testing.T, text string, f func()) {
	t.Helper()
	defer func() {
		if got, _ := recover().(string); !strings.Contains(got, text) {
			t.Errorf("panic %q, want %q", got, text)
		}
	}()
	f()
}
