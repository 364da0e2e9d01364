package management

import (
	"encoding/json"

	"github.com/warrenmq/warren/broker/topology"
)

func parameterRoutes() []route {
	return []route{
		{"GET", "/parameters", policymaker, (*request).listParameters, "The runtime parameters"},
		{"GET", "/parameters/{component}", policymaker, (*request).listParameters, "The runtime parameters of a component"},
		{"GET", "/parameters/{component}/{vhost}", policymaker, (*request).listParameters, "The runtime parameters of a component in a vhost"},
		{"GET", "/parameters/{component}/{vhost}/{name}", policymaker, (*request).getParameter, "A runtime parameter"},
		{"PUT", "/parameters/{component}/{vhost}/{name}", policymaker, (*request).putParameter, "Set a runtime parameter"},
		{"DELETE", "/parameters/{component}/{vhost}/{name}", policymaker, (*request).deleteParameter, "Delete a runtime parameter"},
		{"GET", "/global-parameters", policymaker, (*request).listGlobals, "The global parameters"},
		{"GET", "/global-parameters/{name}", policymaker, (*request).getGlobal, "A global parameter"},
		{"PUT", "/global-parameters/{name}", policymaker, (*request).putGlobal, "Set a global parameter"},
		{"DELETE", "/global-parameters/{name}", policymaker, (*request).deleteGlobal, "Delete a global parameter"},
		{"GET", "/vhost-limits", anyUser, (*request).listVHostLimits, "The limits of vhosts"},
		{"GET", "/vhost-limits/{vhost}", vhostMonitor, (*request).listVHostLimits, "The limits of a vhost"},
		{"PUT", "/vhost-limits/{vhost}/{limit}", administrator, (*request).putVHostLimit, "Limit what a vhost may have"},
		{"DELETE", "/vhost-limits/{vhost}/{limit}", administrator, (*request).deleteVHostLimit, "Take a limit away"},
		{"GET", "/cluster-name", anyUser, (*request).getClusterName, "The name of the cluster"},
		{"PUT", "/cluster-name", administrator, (*request).putClusterName, "Name the cluster"},
	}
}

func parameterObject(vhost, component, name string, value any) object {
	return object{"vhost": vhost, "component": component, "name": name, "value": value}
}

// limitsName is the one parameter that the component of vhost limits has.
const limitsName = "limits"

// eachParameter visits the parameters of a vhost, those too that are stored as something else.
func eachParameter(v *topology.VHost, visit func(component, name string, value any)) {
	if len(v.Limits) > 0 {
		visit(topology.ComponentLimits, limitsName, v.Limits)
	}
	for _, p := range policiesOf(v, true) {
		visit(topology.ComponentOperator, p.Name, policyValue(p))
	}
	v.Parameters(func(p *topology.Parameter) bool {
		visit(p.Component, p.Name, json.RawMessage(p.Value))
		return true
	})
}

// listParameters lists all but policies, or those of one component.
func (q *request) listParameters() (answer, error) {
	vhosts, err := q.vhosts()
	if err != nil {
		return answer{}, err
	}
	component, one := q.values["component"]
	all := []object{}
	for _, v := range vhosts {
		eachParameter(v, func(c, name string, value any) {
			if !one || c == component {
				all = append(all, parameterObject(v.Name, c, name, value))
			}
		})
		if component == topology.ComponentPolicy {
			for _, p := range policiesOf(v, false) {
				all = append(all, parameterObject(v.Name, component, p.Name, policyValue(p)))
			}
		}
	}
	return ok(listOf(all))
}

func (q *request) getParameter() (answer, error) {
	v := q.catalog.VHost(q.values["vhost"])
	component, name := q.values["component"], q.values["name"]
	if p := v.Policy(name); component == topology.ComponentPolicy && p != nil {
		return ok(parameterObject(v.Name, component, name, policyValue(p)))
	}
	var found object
	eachParameter(v, func(c, n string, value any) {
		if c == component && n == name {
			found = parameterObject(v.Name, c, n, value)
		}
	})
	if found == nil {
		return answer{}, errNotFound
	}
	return ok(found)
}

func (q *request) putParameter() (answer, error) {
	body, err := q.body("value")
	if err != nil {
		return answer{}, err
	}
	return put(q.setParameter(q.values["vhost"], q.values["component"], q.values["name"], body["value"]))
}

// setParameter sets a parameter where it belongs.
func (q *request) setParameter(vhost, component, name string, value any) (created bool, err error) {
	switch component {
	case topology.ComponentPolicy:
		return false, badRequest("policies may not be set using this method")
	case topology.ComponentOperator:
		wish, isObject := value.(object)
		if !isObject {
			return false, badRequest("value should be an object")
		}
		return q.server.Editor.PutPolicy(q.context(), vhost, name, true, policyWish(wish), nil)
	case topology.ComponentLimits:
		if name != limitsName {
			return false, badRequest("the limits of a vhost are named limits")
		}
		return false, q.server.Editor.ReplaceVHostLimits(q.context(), vhost, value, nil)
	}
	return q.server.Editor.PutParameter(q.context(), vhost, component, name, value, nil)
}

func (q *request) deleteParameter() (answer, error) {
	vhost, component, name := q.values["vhost"], q.values["component"], q.values["name"]
	switch component {
	case topology.ComponentPolicy, topology.ComponentOperator:
		return removed(q.server.Editor.DeletePolicy(q.context(), vhost, name, component == topology.ComponentOperator, nil))
	case topology.ComponentLimits:
		had := name == limitsName && len(q.catalog.VHost(vhost).Limits) > 0
		return removed(had, q.server.Editor.ReplaceVHostLimits(q.context(), vhost, object{}, nil))
	}
	return removed(q.server.Editor.DeleteParameter(q.context(), vhost, component, name, nil))
}

func globalObject(p *topology.Parameter) object {
	return object{"name": p.Name, "value": json.RawMessage(p.Value)}
}

func (q *request) listGlobals() (answer, error) {
	all := []object{}
	q.catalog.Globals(func(p *topology.Parameter) bool { all = append(all, globalObject(p)); return true })
	return ok(listOf(all))
}

func (q *request) getGlobal() (answer, error) {
	p := q.catalog.Global(q.values["name"])
	if p == nil {
		return answer{}, errNotFound
	}
	return ok(globalObject(p))
}

func (q *request) putGlobal() (answer, error) {
	body, err := q.body("value")
	if err != nil {
		return answer{}, err
	}
	return put(q.server.Editor.PutGlobal(q.context(), q.values["name"], body["value"], nil))
}

func (q *request) deleteGlobal() (answer, error) {
	return removed(q.server.Editor.DeleteGlobal(q.context(), q.values["name"], nil))
}

func (q *request) listVHostLimits() (answer, error) {
	vhosts, err := q.vhosts()
	if err != nil {
		return answer{}, err
	}
	all := []object{}
	for _, v := range vhosts {
		if len(v.Limits) > 0 {
			all = append(all, object{"vhost": v.Name, "value": v.Limits})
		}
	}
	return ok(listOf(all))
}

func (q *request) putVHostLimit() (answer, error) {
	body, err := q.body("value")
	if err == nil {
		err = q.server.Editor.SetVHostLimit(q.context(), q.values["vhost"], q.values["limit"], body["value"], nil)
	}
	if err != nil {
		return answer{}, err
	}
	return done()
}

func (q *request) deleteVHostLimit() (answer, error) {
	if err := q.server.Editor.ClearVHostLimit(q.context(), q.values["vhost"], q.values["limit"], nil); err != nil {
		return answer{}, err
	}
	return done()
}

func (q *request) getClusterName() (answer, error) {
	return ok(object{"name": q.catalog.ClusterName(q.server.Cluster)})
}

func (q *request) putClusterName() (answer, error) {
	body, err := q.body("name")
	if err != nil {
		return answer{}, err
	}
	name, isText := body["name"].(string)
	if !isText {
		return answer{}, badRequest([]any{"not_string", "name"})
	}
	if _, err := q.server.Editor.PutGlobal(q.context(), topology.ClusterNameParameter, name, nil); err != nil {
		return answer{}, err
	}
	return done()
}
