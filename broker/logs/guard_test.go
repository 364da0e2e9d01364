package logs

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"
)

// journal is a log that a test reads while others write.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// breaksHere is where the stack of a bug begins.
func breaksHere() { panic("it cannot be") }

// TestABugInARequest is answered with a 500, and the log says where it was; the next request is served.
func TestABugInARequest(t *testing.T) {
	var log journal
	server := httptest.NewServer(Guard(zerolog.New(&log), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/bug":
			breaksHere()
		case "/elsewhere": // carried here from another goroutine
			done := make(chan *Bug)
			go func() { done <- Catch(breaksHere) }()
			panic(<-done)
		}
		_, _ = io.WriteString(w, "fine")
	})))
	defer server.Close()
	for path, status := range map[string]int{"/bug": 500, "/elsewhere": 500, "/": 200} {
		response, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if response.Body.Close() != nil || err != nil || response.StatusCode != status {
			t.Errorf("%s: %d, %v", path, response.StatusCode, err)
		}
		if status == 500 && !strings.Contains(string(body), "internal_server_error") {
			t.Errorf("%s: %s", path, body)
		}
	}
	if text := log.String(); strings.Count(text, "it cannot be") != 2 || strings.Count(text, "breaksHere") != 2 {
		t.Errorf("the log says %s", text)
	}
}

// TestABugInTheMiddleOfAnAnswer: what was sent is not taken for the whole.
func TestABugInTheMiddleOfAnAnswer(t *testing.T) {
	var log journal
	server := httptest.NewServer(Guard(zerolog.New(&log), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half of")
		breaksHere()
	})))
	defer server.Close()
	response, err := http.Get(server.URL)
	if err == nil {
		defer response.Body.Close()
		_, err = io.ReadAll(response.Body)
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		t.Errorf("the answer ends with %v", err)
	}
	if !strings.Contains(log.String(), "breaksHere") {
		t.Errorf("the log says %s", log.String())
	}
}
