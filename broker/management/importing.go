package management

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/warrenmq/warren/broker/auth"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

// readDefinitions reads the file: the body, or a part named file of a form. A form may name it in a field of its own.
func (q *request) readDefinitions() (definitions, error) {
	data, err := q.raw(definitionsMax)
	if err != nil {
		return nil, err
	}
	kind, parameters, err := mime.ParseMediaType(q.http.Header.Get("Content-Type"))
	switch {
	case err == nil && kind == "multipart/form-data":
		if data, err = formFile(data, parameters["boundary"]); err != nil {
			return nil, errUnreadable
		}
	case err != nil || kind != "application/json":
		return nil, &failure{status: http.StatusUnsupportedMediaType}
	}
	var d definitions
	if err := json.Unmarshal(data, &d); err != nil || d == nil || !utf8.Valid(data) {
		return nil, errUnreadable
	}
	return d, nil
}

// formFile gives the part of a form that is called file.
func formFile(data []byte, boundary string) ([]byte, error) {
	r := multipart.NewReader(strings.NewReader(string(data)), boundary)
	for {
		part, err := r.NextPart()
		if err != nil {
			return nil, err
		}
		if part.FormName() == "file" {
			return io.ReadAll(part)
		}
	}
}

func (q *request) importAll() (answer, error) {
	q.actor = importer{auth.System, q.principal.Name()}
	d, err := q.readDefinitions()
	if err != nil {
		return answer{}, err
	}
	steps := []struct {
		list string
		one  func(o object) error
	}{
		{"users", q.importUser}, {"vhosts", q.importOneVHost}, {"permissions", q.importRights(q.server.Editor.PutPermission, "configure")},
		{"parameters", q.importParameter}, {"global_parameters", q.importGlobal}, {"policies", q.importPolicy},
		{"queues", q.importQueue}, {"exchanges", q.importExchange},
		{"topic_permissions", q.importRights(q.server.Editor.PutTopicPermission, "exchange")}, // whose exchanges must be there
	}
	for _, s := range steps {
		if err := each(d, s.list, s.one); err != nil {
			return answer{}, err
		}
	}
	if err := q.importBindings(d, ""); err != nil {
		return answer{}, err
	}
	return done()
}

// each does something with every object of a list.
func each(d definitions, list string, do func(object) error) error {
	objects, err := d.objects(list)
	if err != nil {
		return err
	}
	for _, o := range objects {
		if err := do(o); err != nil {
			return imported(err, o)
		}
	}
	return nil
}

// imported is what is wrong with a definition, as RabbitMQ tells it: in Erlang's terms.
func imported(err error, o object) error {
	var pattern *topology.PatternError
	var refusal *protocol.Error
	var f *failure
	switch {
	case errors.Is(err, topology.ErrNoVHost):
		return badRequest(fmt.Sprintf("Please create virtual host \"%v\" prior to importing definitions.", o["vhost"]))
	case errors.Is(err, topology.ErrNoVHostOrUser):
		return badRequest(fmt.Sprintf("{no_such_user,%s}", topology.Term(o["user"])))
	case errors.Is(err, topology.ErrNoExchange):
		return badRequest(fmt.Sprintf("{no_such_exchange,%s}", topology.Term(o["exchange"])))
	case errors.As(err, &f):
		return f.asTerm()
	case errors.As(err, &pattern):
		reason, at := pattern.Describe()
		return badRequest(fmt.Sprintf("{invalid_regexp,%q,{%q,%d}}", pattern.Pattern, reason, at))
	case errors.As(err, &refusal) && strings.HasPrefix(refusal.Text, "Validation failed"):
		return badRequest(refusal.Text + where(o))
	case errors.As(err, &refusal) && refusal.Code == protocol.CodePreconditionFailed:
		return badRequest("precondition_failed: " + refusal.Text)
	case errors.As(err, &refusal):
		return badRequest(refusal.Text)
	}
	return err
}

// asTerm makes a reason that is a list an Erlang tuple.
func (f *failure) asTerm() *failure {
	parts, isList := f.reason.([]any)
	if !isList || len(parts) != 2 {
		return f
	}
	return badRequest(fmt.Sprintf("{%v,%s}", parts[0], topology.Term(parts[1])))
}

// where adds which parameter or policy a fault is in.
func where(o object) string {
	if o["component"] != nil {
		return fmt.Sprintf(" (vhost: \"%v\" / component: \"%v\" / key: \"%v\")", o["vhost"], o["component"], o["name"])
	}
	return fmt.Sprintf(" (vhost: \"%v\" key: \"%v\")", o["vhost"], o["name"])
}

// importer is whom imported objects are declared by: the user who imports, who may declare everything.
type importer struct {
	topology.Actor
	name string
}

// Name implements topology.Actor.
func (i importer) Name() string { return i.name }

// importVHost imports into one vhost: objects need not name it, and if they do it does not count.
func (q *request) importVHost() (answer, error) {
	name := q.values["vhost"]
	if q.catalog.VHost(name) == nil {
		return answer{}, errNoVHost
	}
	q.actor = importer{auth.System, q.principal.Name()}
	d, err := q.readDefinitions()
	if err != nil {
		return answer{}, err
	}
	into := func(do func(object) error) func(object) error {
		return func(o object) error {
			o["vhost"] = name
			return do(o)
		}
	}
	for _, s := range []struct {
		list string
		one  func(o object) error
	}{
		{"parameters", q.importParameter}, {"policies", q.importPolicy}, {"queues", q.importQueue}, {"exchanges", q.importExchange},
	} {
		if err := each(d, s.list, into(s.one)); err != nil {
			return answer{}, err
		}
	}
	if err := q.importBindings(d, name); err != nil {
		return answer{}, err
	}
	return done()
}

// word reads a string that must be there.
func word(o object, key string) (string, error) {
	s, isText := o[key].(string)
	if !isText {
		return "", badRequest("{badkey," + key + "}")
	}
	return s, nil
}

// words reads several of them.
func words(o object, keys ...string) (list []string, err error) {
	for _, key := range keys {
		s, err := word(o, key)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

func (q *request) importUser(o object) error {
	name, err := word(o, "name")
	if err != nil {
		return err
	}
	change, err := readUser(o, q.server.Authority.Algorithm())
	if err == nil {
		_, err = q.server.Editor.PutUser(q.context(), name, change, nil)
	}
	if err != nil {
		return err
	}
	return q.server.setUserLimits(q, name, o["limits"])
}

func (q *request) importOneVHost(o object) error {
	name, err := word(o, "name")
	if err != nil {
		return err
	}
	change, err := readVHost(o)
	if err != nil {
		return err
	}
	created, err := q.server.Editor.PutVHost(q.context(), name, change, nil)
	if err != nil {
		return err
	}
	if created && !q.principal.IsOperator() { // definitions say who may use it, and whoever imports may too
		if _, err := q.server.Editor.PutPermission(q.context(), name, q.principal.Name(), ".*", ".*", ".*", nil); err != nil {
			return err
		}
	}
	if limits, isObject := o["limits"].(object); isObject && len(limits) > 0 {
		return q.server.Editor.ReplaceVHostLimits(q.context(), name, limits, nil)
	}
	return nil
}

// putRights is how the Editor takes permissions and topic permissions: what they are about stands third.
type putRights func(ctx context.Context, vhost, user, third, write, read string, durable func(error)) (bool, error)

// importRights imports permissions, or topic permissions.
func (q *request) importRights(put putRights, third string) func(object) error {
	return func(o object) error {
		w, err := words(o, "vhost", "user", third, "write", "read")
		if err != nil {
			return err
		}
		_, err = put(q.context(), w[0], w[1], w[2], w[3], w[4], nil)
		return err
	}
}

func (q *request) importParameter(o object) error {
	w, err := words(o, "vhost", "component", "name")
	if err != nil {
		return err
	}
	_, err = q.setParameter(w[0], w[1], w[2], o["value"])
	return err
}

// importGlobal skips what belongs to the cluster that the file comes from.
func (q *request) importGlobal(o object) error {
	name, err := word(o, "name")
	if err != nil || name == topology.ClusterNameParameter || name == topology.ClusterID {
		return err
	}
	_, err = q.server.Editor.PutGlobal(q.context(), name, o["value"], nil)
	return err
}

func (q *request) importPolicy(o object) error {
	w, err := words(o, "vhost", "name")
	if err != nil {
		return err
	}
	_, err = q.server.Editor.PutPolicy(q.context(), w[0], w[1], false, policyWish(o), nil)
	return err
}

// importQueue leaves a queue that is there as it is, and those alone that only the broker names.
func (q *request) importQueue(o object) error {
	w, err := words(o, "vhost", "name")
	if err != nil {
		return err
	}
	q.catalog = q.server.Editor.Catalog()
	if v := q.catalog.VHost(w[0]); v == nil {
		return topology.ErrNoVHost
	} else if v.Queue(w[1]) != nil || strings.HasPrefix(w[1], "amq.") {
		return nil
	}
	lasting(o)
	_, err = q.declareQueue(w[0], w[1], o)
	return err
}

// lasting lets what does not say otherwise survive a restart.
func lasting(o object) {
	if o["durable"] == nil {
		o["durable"] = true
	}
}

// importExchange does the same for exchanges.
func (q *request) importExchange(o object) error {
	w, err := words(o, "vhost", "name")
	if err != nil {
		return err
	}
	q.catalog = q.server.Editor.Catalog()
	if v := q.catalog.VHost(w[0]); v == nil {
		return topology.ErrNoVHost
	} else if v.Exchange(w[1]) != nil || strings.HasPrefix(w[1], "amq.") {
		return nil
	}
	if o["type"] == nil {
		return protocol.PreconditionFailed("invalid exchange type 'undefined'")
	}
	lasting(o)
	_, err = q.declareExchange(w[0], w[1], o)
	return err
}

// importBindings makes the bindings; with a vhost they are all in it. Those of the default exchange are there by themselves.
func (q *request) importBindings(d definitions, vhost string) error {
	return each(d, "bindings", func(o object) error {
		if vhost != "" {
			o["vhost"] = vhost
		}
		w, err := words(o, "vhost", "source", "destination", "destination_type")
		if err != nil {
			return err
		}
		if w[1] == "" {
			return nil
		}
		if err := ends(q.server.Editor.Catalog().VHost(w[0]), w); err != nil {
			return err
		}
		_, err = q.makeBinding(w[0], o)
		return err
	})
}

// ends demands that both ends of a binding are there: vhost, source, destination, and its kind. v may be nil.
func ends(v *topology.VHost, w []string) error {
	var absent []string
	lack := func(kind, name string) {
		absent = append(absent, fmt.Sprintf("{not_found,{resource,%s,%s,%s}}", topology.Term(w[0]), kind, topology.Term(name)))
	}
	if v == nil || v.Exchange(w[1]) == nil {
		lack("exchange", w[1])
	}
	switch {
	case w[3] == "exchange" && (v == nil || v.Exchange(w[2]) == nil):
		lack("exchange", w[2])
	case w[3] == "queue" && (v == nil || v.Queue(w[2]) == nil):
		lack("queue", w[2])
	case w[3] != "queue" && w[3] != "exchange":
		return badRequest("a binding leads to a queue or an exchange")
	}
	if len(absent) == 0 {
		return nil
	}
	const head = "{resources_missing,["
	line := head + strings.Join(absent, ",") + "]}"
	switch {
	case len(line) <= erlangColumns:
	case len(head+absent[0]) < erlangColumns:
		line = head + strings.Join(absent, ",\n"+strings.Repeat(" ", len(head))) + "]}"
	default:
		line = "{resources_missing,\n    [" + strings.Join(absent, ",\n     ") + "]}"
	}
	return badRequest(line)
}
