package management

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

// object is a JSON object.
type object = map[string]any

// float is a number that is shown with its point, as rates are.
type float float64

// MarshalJSON implements json.Marshaler.
func (f float) MarshalJSON() ([]byte, error) {
	text := strconv.FormatFloat(float64(f), 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return []byte(text), nil
}

// answer is what a request is answered with.
type answer struct {
	status   int
	body     any // nil: none; a *list is sorted, cut into pages and trimmed first
	location string
	download string // name of the file a browser shall save it as
}

func ok(body any) (answer, error) { return answer{status: http.StatusOK, body: body}, nil }

func done() (answer, error) { return answer{status: http.StatusNoContent}, nil }

// put is the answer to a change that made something new, or not.
func put(created bool, err error) (answer, error) {
	switch {
	case err != nil:
		return answer{}, err
	case created:
		return answer{status: http.StatusCreated}, nil
	}
	return done()
}

// removed is the answer to a deletion of what was there, or not.
func removed(existed bool, err error) (answer, error) {
	switch {
	case err != nil:
		return answer{}, err
	case !existed:
		return answer{}, errNotFound
	}
	return done()
}

// failure is an answer that is no success.
type failure struct {
	status int
	kind   string
	reason any
	body   object // in place of kind and reason, if it is not nil
}

// Error implements error.
func (f *failure) Error() string { return f.kind }

// What is wrong with many requests.
var (
	errNotFound  = &failure{status: http.StatusNotFound, kind: "Object Not Found", reason: "Not Found"}
	errHidden    = missing("Not Found")
	errNoVHost   = missing("vhost_not_found")
	errRefused   = unauthorised("Access refused.")
	errSilent    = &failure{status: http.StatusServiceUnavailable, kind: "unavailable", reason: "a node of the cluster does not answer"}
	errInternal  = &failure{status: http.StatusInternalServerError, kind: "internal_server_error", reason: "Internal Server Error"}
	errTooLarge  = &failure{status: http.StatusRequestEntityTooLarge, kind: "payload_too_large", reason: "the request's body is too large"}
	errIrregular = badRequest("not_json")
)

func badRequest(reason any) *failure {
	return &failure{status: http.StatusBadRequest, kind: "bad_request", reason: reason}
}

func missing(reason any) *failure {
	return &failure{status: http.StatusNotFound, kind: "not_found", reason: reason}
}

func unauthorised(reason string) *failure {
	return &failure{status: http.StatusUnauthorized, kind: "not_authorised", reason: reason}
}

// asFailure makes any error an answer.
func asFailure(err error) *failure {
	var f *failure
	var pattern *topology.PatternError
	var refusal *protocol.Error
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &pattern):
		reason, at := pattern.Describe()
		return badRequest([]any{"invalid_regexp", characters(pattern.Pattern), []any{characters(reason), at}})
	case errors.Is(err, topology.ErrNoVHost):
		return errNoVHost
	case errors.As(err, &refusal):
		return refused(refusal)
	}
	return errInternal
}

// refused is a refusal of the broker as this API tells it: without the code's name.
func refused(refusal *protocol.Error) *failure {
	switch refusal.Code {
	case protocol.CodeAccessRefused:
		return errRefused
	case protocol.CodeNotFound:
		return missing(refusal.Text)
	}
	return badRequest(refusal.Text)
}

// characters is a text as RabbitMQ shows those that Erlang keeps as lists: number by number.
func characters(text string) []int {
	list := make([]int, 0, len(text))
	for _, r := range text {
		list = append(list, int(r))
	}
	return list
}

// write sends a failure.
func (f *failure) write(w http.ResponseWriter) {
	body := f.body
	if body == nil {
		body = object{"error": f.kind, "reason": f.reason}
	}
	writeJSON(w, f.status, body)
}

// writeJSON sends a value as the body of an answer, in one piece.
func writeJSON(w http.ResponseWriter, status int, value any) {
	data, err := encode(value)
	if err != nil {
		bug("an answer cannot be written: %v", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(data) // whoever asked may be gone
}
