package management

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// allRoutes is everything the API can do.
func allRoutes() []route {
	return slices.Concat(
		overviewRoutes(), healthRoutes(), definitionRoutes(), parameterRoutes(), policyRoutes(), connectionRoutes(),
		consumerRoutes(), exchangeRoutes(), queueRoutes(), bindingRoutes(), vhostRoutes(), userRoutes(), permissionRoutes(),
		variousRoutes(), clusterRoutes(),
	)
}

// openAPI describes the routes: the description is made of them, so it cannot say anything else than they do.
func (q *request) openAPI() (answer, error) {
	paths := object{}
	for i := range q.server.router.routes {
		r := &q.server.router.routes[i]
		path, known := paths["/api"+r.path].(object)
		if !known {
			path = object{}
			paths["/api"+r.path] = path
		}
		path[strings.ToLower(r.method)] = r.describe()
	}
	return ok(object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Warren management API", "version": q.server.Version,
			"description": "Compatible with the management API of RabbitMQ. Names in paths are percent-encoded: the vhost / is %2F.",
		},
		"servers":    []object{{"url": "/"}},
		"components": object{"securitySchemes": object{"basic": object{"type": "http", "scheme": "basic"}}},
		"paths":      paths,
	})
}

// describe is the operation of a route.
func (r *route) describe() object {
	o := object{
		"operationId": r.operation(), "summary": r.summary, "x-required-tag": r.need.String(),
		"responses": object{"2XX": object{"description": "Success"}, "4XX": object{"description": "Refused: error and reason say why"}},
	}
	if r.need != nobody {
		o["security"] = []object{{"basic": []any{}}}
	}
	parameters := []object{}
	for _, s := range strings.Split(r.path, "/") {
		if name, isVariable := strings.CutPrefix(s, "{"); isVariable {
			parameters = append(parameters, object{
				"name": strings.TrimSuffix(name, "}"), "in": "path", "required": true, "schema": object{"type": "string"},
			})
		}
	}
	if r.method == "GET" {
		parameters = append(parameters, object{"name": "columns", "in": "query", "schema": object{"type": "string"}})
	}
	o["parameters"] = parameters
	if r.method == "PUT" || r.method == "POST" {
		o["requestBody"] = object{"content": object{"application/json": object{"schema": object{"type": "object"}}}}
	}
	return o
}

// operation names a route for those who generate clients.
func (r *route) operation() string {
	var b strings.Builder
	b.WriteString(strings.ToLower(r.method))
	for _, s := range strings.FieldsFunc(r.path, func(c rune) bool { return strings.ContainsRune("/{}-._", c) }) {
		b.WriteString(strings.ToUpper(s[:1]) + s[1:])
	}
	return b.String()
}

// number64 is a number as JSON would have it.
func number64(n int) json.Number { return json.Number(strconv.Itoa(n)) }
