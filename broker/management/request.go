package management

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/warrenmq/warren/broker/auth"
	"github.com/warrenmq/warren/broker/topology"
)

// request is a request on its way to an answer.
type request struct {
	server    *Server
	http      *http.Request
	values    map[string]string // of the variables in the path
	catalog   *topology.Catalog
	principal auth.Principal
	actor     topology.Actor // whom changes are made by: the principal
	password  string
}

func (q *request) context() context.Context {
	return topology.By(q.http.Context(), q.principal.Name())
}

// peer is where the request comes from.
func (q *request) peer() net.Addr {
	host, port, err := net.SplitHostPort(q.http.RemoteAddr)
	if err != nil {
		return &net.TCPAddr{}
	}
	n, _ := strconv.Atoi(port)
	return &net.TCPAddr{IP: net.ParseIP(host), Port: n}
}

// bodyMax is the largest body there may be, definitionsMax that of definitions. Bytes.
const (
	bodyMax        = 20 << 20
	definitionsMax = 256 << 20
)

// raw reads the body, at most so much.
func (q *request) raw(limit int64) ([]byte, error) {
	data, err := io.ReadAll(http.MaxBytesReader(nil, q.http.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, errTooLarge
	case err != nil:
		return nil, badRequest("the request's body cannot be read")
	}
	return data, nil
}

var errNotUTF8 = errors.New("not UTF-8")

// decode reads JSON with its numbers as they are.
func decode(data []byte) (value any, err error) {
	if !utf8.Valid(data) {
		return nil, errNotUTF8 // the decoder would make something of it
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value")
	}
	return value, nil
}

// body reads the object in the body; nothing and null stand for an empty one. needed keys must be there.
func (q *request) body(needed ...string) (object, error) {
	data, err := q.raw(bodyMax)
	if err != nil {
		return nil, err
	}
	var value any
	if len(bytes.TrimSpace(data)) > 0 {
		if value, err = decode(data); err != nil {
			return nil, errIrregular
		}
	}
	switch v := value.(type) {
	case nil:
		value = object{}
	case string:
		return nil, badRequest("invalid payload: the request body JSON-decoded to a string. Is the input doubly-JSON-encoded?")
	case object:
		value = v
	default:
		return nil, errIrregular
	}
	var absent []string
	for _, key := range needed {
		if _, ok := value.(object)[key]; !ok {
			absent = append(absent, "{key_missing,"+key+"}")
		}
	}
	if len(absent) > 0 {
		return nil, badRequest(erlangList(absent))
	}
	return value.(object), nil
}

// erlangColumns is how wide a list may be before its elements stand below each other.
const erlangColumns = 78

func erlangList(terms []string) string {
	line := "[" + strings.Join(terms, ",") + "]"
	if len(line) <= erlangColumns {
		return line
	}
	return "[" + strings.Join(terms, ",\n ") + "]"
}

// flag reads a boolean, also one in words; what is absent is false.
func flag(body object, key string) (bool, error) {
	value, given := body[key]
	switch v := value.(type) {
	case bool:
		return v, nil
	case string:
		if v == "true" || v == "false" {
			return v == "true", nil
		}
	}
	if !given {
		return false, nil
	}
	return false, badRequest([]any{"not_boolean", value})
}

// text reads a string; what is absent is the default.
func text(body object, key, otherwise string) (string, error) {
	switch v := body[key].(type) {
	case nil:
		return otherwise, nil
	case string:
		return v, nil
	}
	return "", badRequest([]any{"not_string", key})
}

// asked tells whether a question in the query is answered with true.
func (q *request) asked(name string) bool { return q.http.URL.Query().Get(name) == "true" }

// integer reads a JSON number without a fraction.
func integer(value any) (int64, bool) {
	n, isNumber := value.(json.Number)
	if !isNumber {
		return 0, false
	}
	i, err := n.Int64()
	return i, err == nil
}

// lenient reads an integer as RabbitMQ does where scripts write it: it may be text, and a fraction is cut off.
func lenient(value any) (int64, error) {
	text, isText := value.(string)
	if n, isNumber := value.(json.Number); isNumber {
		text, isText = n.String(), true
	}
	if i, err := strconv.ParseInt(text, 10, 64); isText && err == nil {
		return i, nil
	}
	if _, isNumber := value.(json.Number); isNumber {
		if f, err := strconv.ParseFloat(text, 64); err == nil && f > -1<<53 && f < 1<<53 {
			return int64(f), nil
		}
	}
	return 0, badRequest([]any{"not_integer", value})
}
