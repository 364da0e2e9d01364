package metrics

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

// TestWaysToGroups: what waits for each group, whether it is refused, and what was.
func TestWaysToGroups(t *testing.T) {
	var out strings.Builder
	p := &page{ctx: context.Background(), out: &out}
	s := &Server{Options: Options{Ways: func() []Way {
		return []Way{{Group: 3, Waiting: 7}, {Group: 4, Refuses: true, Leaderless: 5, Full: 2, Requests: 1}}
	}}}
	s.ways(p)
	text := string(p.text)
	for _, line := range []string{
		`warren_group_refuses{group="3"} 0`, `warren_group_refuses{group="4"} 1`, `warren_group_waiting_bytes{group="3"} 7`,
		`warren_group_refused_messages_total{group="4",reason="leader"} 5`, `warren_group_refused_messages_total{group="4",reason="full"} 2`,
		`warren_group_refused_requests_total{group="4"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("%s is not in\n%s", line, text)
		}
	}
	p = &page{ctx: context.Background(), out: &out}
	if (&Server{}).ways(p); len(p.text) != 0 {
		t.Error("a node that is alone shows ways")
	}
}

// TestABugInAPage is a 500, and the next page is served.
func TestABugInAPage(t *testing.T) {
	pages["bug"] = func(*Server, *page, filter) { panic("it cannot be") }
	pages["fine"] = func(*Server, *page, filter) {}
	defer delete(pages, "bug")
	defer delete(pages, "fine")
	s := New(Options{Logger: zerolog.Nop()})
	for range asked + 1 { // a bug gives its turn back
		out := httptest.NewRecorder()
		if s.http.Handler.ServeHTTP(out, httptest.NewRequest("GET", "/metrics/bug", nil)); out.Code != 500 {
			t.Errorf("a bug: %d", out.Code)
		}
	}
	out := httptest.NewRecorder()
	if s.http.Handler.ServeHTTP(out, httptest.NewRequest("GET", "/metrics/fine", nil)); out.Code != 200 {
		t.Errorf("the next page: %d", out.Code)
	}
}
