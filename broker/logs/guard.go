package logs

import (
	"fmt"
	"io"
	"net/http"
	"runtime/debug"

	"github.com/rs/zerolog"
)

// Bug is what has ended a goroutine, and where, on its way to the goroutine that answers for it.
type Bug struct {
	What  any
	Stack []byte
}

// String says what it was.
func (b *Bug) String() string { return fmt.Sprint(b.What) }

// Again ends the goroutine that answers for the one that the bug has ended.
func (b *Bug) Again() { panic(b) }

// Catch does something, and gives the bug that has ended it, nil if none has.
func Catch(do func()) (b *Bug) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case *Bug:
			b = p
		default:
			b = &Bug{What: p, Stack: debug.Stack()}
		}
	}()
	do()
	return nil
}

// Guard keeps a bug in the answer to one request from ending the others, or the process: the log has it with its stack, and the
// client gets a 500. If a part of the answer is on its way the connection is cut: the part is not to be taken for the whole.
func Guard(logger zerolog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g := &guarded{ResponseWriter: w}
		b := Catch(func() { next.ServeHTTP(g, r) })
		if b == nil {
			return
		}
		if b.What != http.ErrAbortHandler {
			logger.Error().Stringer("bug", b).Str("method", r.Method).Str("path", r.URL.Path).Bytes("stack", b.Stack).Msg("a request was ended by a bug")
		}
		if g.begun {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, `{"error":"internal_server_error","reason":"Internal Server Error"}`) // whoever asked may be gone
	})
}

// guarded notes whether something was answered.
type guarded struct {
	http.ResponseWriter
	begun bool
}

// WriteHeader implements http.ResponseWriter.
func (g *guarded) WriteHeader(status int) {
	g.begun = true
	g.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (g *guarded) Write(b []byte) (int, error) {
	g.begun = true
	return g.ResponseWriter.Write(b)
}
