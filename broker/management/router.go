package management

import (
	"net/http"
	"net/url"
	"strings"
)

// handler answers one request; an error that is a *failure is an answer too.
type handler func(*request) (answer, error)

// route is what one method of one path does.
type route struct {
	method  string
	path    string // below /api; {name} stands for one segment
	need    need
	handle  handler
	summary string
}

// router finds routes. It is built once and then only read.
type router struct {
	routes []route
	bySize map[int][]*place // by the number of segments
}

// place is a path with its methods.
type place struct {
	segments []string
	methods  map[string]*route
}

// newRouter checks and sorts the routes. The first path that matches is taken, so what is literal comes before what is not.
func newRouter(routes []route) *router {
	t := &router{routes: routes, bySize: map[int][]*place{}}
	places := map[string]*place{}
	for i := range routes {
		r := &routes[i]
		p := places[r.path]
		if p == nil {
			segments := strings.Split(r.path, "/")[1:]
			p = &place{segments: segments, methods: map[string]*route{}}
			places[r.path] = p
			t.bySize[len(segments)] = append(t.bySize[len(segments)], p)
		}
		if p.methods[r.method] != nil {
			bug("the route %s %s is there twice", r.method, r.path)
		}
		p.methods[r.method] = r
	}
	return t
}

// find gives the place of an escaped path, with what its variables stand for; nil if there is none.
func (t *router) find(escaped string) (*place, map[string]string) {
	segments := strings.Split(strings.TrimSuffix(escaped, "/"), "/")[1:]
	names := make([]string, len(segments))
	for i, s := range segments {
		name, err := url.PathUnescape(s)
		if err != nil {
			return nil, nil
		}
		names[i] = name
	}
	for _, p := range t.bySize[len(segments)] {
		if values, ok := p.match(names); ok {
			return p, values
		}
	}
	return nil, nil
}

func (p *place) match(names []string) (map[string]string, bool) {
	var values map[string]string
	for i, s := range p.segments {
		if !strings.HasPrefix(s, "{") {
			if s != names[i] {
				return nil, false
			}
			continue
		}
		if values == nil {
			values = map[string]string{}
		}
		values[s[1:len(s)-1]] = names[i]
	}
	return values, true
}

// allowed lists the methods in the order in which RabbitMQ does.
func (p *place) allowed() string {
	var list []string
	for _, m := range []string{http.MethodHead, http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete, http.MethodOptions} {
		if m == http.MethodOptions || p.route(m) != nil {
			list = append(list, m)
		}
	}
	return strings.Join(list, ", ")
}

// route gives what a method does here, nil if it is not allowed. HEAD is a GET without the body.
func (p *place) route(method string) *route {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	return p.methods[method]
}
