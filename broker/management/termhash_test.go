package management

import (
	"encoding/base64"
	"encoding/binary"
	"testing"
)

// TestTermHash against what RabbitMQ 4.3.6 called bindings with these arguments.
func TestTermHash(t *testing.T) {
	for _, c := range []struct{ arguments, name string }{
		{`{"k": 1}`, "DJ-ruQ"},
		{`{"x-match": "any", "b": 1}`, "TK8dpA"},
		{`{"n": -5}`, "94f54w"},
		{`{"n": 0}`, "Lrk9ww"},
		{`{"n": 134217728}`, "5hvMAw"},
		{`{"n": 134217727}`, "kFN9Zg"},
		{`{"n": -134217728}`, "GT7UVw"},
		{`{"n": -134217729}`, "RNC_3Q"},
		{`{"n": 5000000000}`, "IesN1g"},
		{`{"n": -5000000000}`, "ggWFJA"},
		{`{"b": true}`, "_sQtSA"},
		{`{"b": false}`, "QvGL9Q"},
		{`{"f": 1.5}`, "fF0G0A"},
		{`{"f": 0.0}`, "wyka5A"},
		{`{"f": -2.25}`, "P8FQjw"},
		{`{"s": ""}`, "-HWwFg"},
		{`{"s": "exactly12byt"}`, "Sjl9Hg"},
		{`{"s": "a longer text than twelve octets"}`, "IIEtkg"},
		{`{"t": {"a": 1, "b": {"c": "d"}}}`, "xhaa_w"},
		{`{"t": {}}`, "nUcNOQ"},
		{`{"a": []}`, "jkxtaQ"},
		{`{"a": [1, "x", true, 2.5]}`, "OfWghw"},
		{`{"ä": "ö"}`, "14-69Q"},
		{`{"z": 1, "a": 2, "m": "x"}`, "1wKVuA"},
	} {
		value, err := decode([]byte(c.arguments))
		if err != nil {
			t.Fatal(err)
		}
		table, err := readTable(value.(object))
		if err != nil {
			t.Fatal(err)
		}
		name := base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, termHash(table.Sorted())))
		if name != c.name {
			t.Errorf("%s: %s, want %s", c.arguments, name, c.name)
		}
	}
}
