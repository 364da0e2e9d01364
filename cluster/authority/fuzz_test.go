package authority

import (
	"bytes"
	"net/netip"
	"testing"
)

func netipOf(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

// FuzzHear: whatever comes, it is read in bounded memory or refused.
func FuzzHear(f *testing.F) {
	var b bytes.Buffer
	if err := say(&b, &question{Number: []byte("12345678"), Secret: []byte("s"), Request: []byte("r")}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, data []byte) {
		var q question
		if hear(bytes.NewReader(data), &q) == nil {
			if _, _, err := read(q.Request); err == nil && len(q.Request) == 0 {
				t.Error("nothing is a request")
			}
		}
	})
}

func FuzzParseToken(f *testing.F) {
	f.Add(Token{}.String())
	f.Fuzz(func(t *testing.T, text string) {
		if token, err := ParseToken(text); err == nil {
			if again, err := ParseToken(token.String()); err != nil || again != token {
				t.Errorf("%q is read as something else", text)
			}
		}
	})
}
