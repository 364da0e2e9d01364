package protocol

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestReplyText(t *testing.T) {
	for _, c := range []struct {
		err  *Error
		want string
	}{
		{NotFound("no queue '%s' in vhost '/'", "q"), "NOT_FOUND - no queue 'q' in vhost '/'"},
		{Errorf(CodeInternalError, ""), "INTERNAL_ERROR"},
		{Errorf(CodeNoRoute, ""), "NO_ROUTE"},
		{AccessRefused("no %d%%", 5), "ACCESS_REFUSED - no 5%"},
		{ResourceLocked("x"), "RESOURCE_LOCKED - x"},
		{PreconditionFailed("x"), "PRECONDITION_FAILED - x"},
		{Errorf(999, "x"), "UNKNOWN - x"},
		{NotFound("no queue '%s'", "q\xff"), "NOT_FOUND - no queue 'q?'"},
		{NotFound("%s", strings.Repeat("x", 243)), "NOT_FOUND - " + strings.Repeat("x", 243)},
		{NotFound("%s", strings.Repeat("x", 244)), "NOT_FOUND - " + strings.Repeat("x", 240) + "..."},
		{NotFound("%s", strings.Repeat("ä", 200)), "NOT_FOUND - " + strings.Repeat("ä", 120) + "..."},
		{NotFound("y%s", strings.Repeat("ä", 200)), "NOT_FOUND - y" + strings.Repeat("ä", 119) + "..."},
	} {
		got := c.err.ReplyText()
		if got != c.want || len(got) > 255 || !utf8.ValidString(got) {
			t.Errorf("got %q (%d octets), want %q", got, len(got), c.want)
		}
	}
}

func TestSoftErrorsEndOnlyTheChannel(t *testing.T) {
	soft := map[uint16]bool{311: true, 312: true, 313: true, 403: true, 404: true, 405: true, 406: true}
	for code := range codeNames {
		if hard := Errorf(code, "").Hard(); hard == soft[code] {
			t.Errorf("%d %s: hard is %v", code, Name(code), hard)
		}
	}
	if len(codeNames) != 19 {
		t.Errorf("%d reply codes, want 19", len(codeNames))
	}
}

func TestErrorShowsItsCode(t *testing.T) {
	if got := NotFound("no queue").Error(); got != "404 NOT_FOUND - no queue" {
		t.Error(got)
	}
}

func TestErlangBinary(t *testing.T) {
	for in, want := range map[string]string{
		"":         "<<>>",
		"foo":      `<<"foo">>`,
		"a\"b\\\n": `<<"a\"b\\\n">>`,
		"\x00":     "<<0>>",
		"a\x7f":    "<<97,127>>",
		"ä":        "<<195,164>>",
	} {
		if got := ErlangBinary([]byte(in)); got != want {
			t.Errorf("%q: got %s", in, got)
		}
	}
	if n := len(ErlangBinary(make([]byte, 1<<17))); n > 2000 {
		t.Errorf("%d octets of text for a payload that is cut anyway", n)
	}
}
