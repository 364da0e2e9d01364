package management

import (
	"slices"
	"strings"

	"github.com/warrenmq/warren/broker/topology"
)

func policyRoutes() []route {
	return []route{
		{"GET", "/policies", anyUser, (*request).listPolicies, "The policies"},
		{"GET", "/policies/{vhost}", vhostUser, (*request).listPolicies, "The policies of a vhost"},
		{"GET", "/policies/{vhost}/{name}", policymaker, (*request).getPolicy, "A policy"},
		{"PUT", "/policies/{vhost}/{name}", policymaker, (*request).putPolicy, "Make or change a policy"},
		{"DELETE", "/policies/{vhost}/{name}", policymaker, (*request).deletePolicy, "Delete a policy"},
		{"GET", "/operator-policies", anyUser, (*request).listOperatorPolicies, "The operator policies"},
		{"GET", "/operator-policies/{vhost}", vhostUser, (*request).listOperatorPolicies, "The operator policies of a vhost"},
		{"GET", "/operator-policies/{vhost}/{name}", administrator, (*request).getOperatorPolicy, "An operator policy"},
		{"PUT", "/operator-policies/{vhost}/{name}", administrator, (*request).putOperatorPolicy, "Make or change an operator policy"},
		{"DELETE", "/operator-policies/{vhost}/{name}", administrator, (*request).deleteOperatorPolicy, "Delete an operator policy"},
	}
}

// policyValue is what a policy says, without its name and vhost.
func policyValue(p *topology.Policy) object {
	return object{"pattern": p.Pattern, "apply-to": p.ApplyTo, "priority": p.Priority, "definition": p.Definition}
}

func policyObject(p *topology.Policy) object {
	o := policyValue(p)
	o["vhost"], o["name"] = p.VHost, p.Name
	return o
}

// policiesOf gives the policies of a vhost by name.
func policiesOf(v *topology.VHost, operator bool) []*topology.Policy {
	list := v.Policies()
	if operator {
		list = v.OperatorPolicies()
	}
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b *topology.Policy) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func (q *request) policies(operator bool) (answer, error) {
	vhosts, err := q.vhosts()
	if err != nil {
		return answer{}, err
	}
	all := []object{}
	for _, v := range vhosts {
		for _, p := range policiesOf(v, operator) {
			all = append(all, policyObject(p))
		}
	}
	return ok(listOf(all))
}

func (q *request) listPolicies() (answer, error) { return q.policies(false) }

func (q *request) listOperatorPolicies() (answer, error) { return q.policies(true) }

func (q *request) policy(operator bool) (answer, error) {
	v := q.catalog.VHost(q.values["vhost"])
	if v == nil {
		return answer{}, errNotFound
	}
	p := v.Policy(q.values["name"])
	if operator {
		p = v.OperatorPolicy(q.values["name"])
	}
	if p == nil {
		return answer{}, errNotFound
	}
	return ok(policyObject(p))
}

func (q *request) getPolicy() (answer, error) { return q.policy(false) }

func (q *request) getOperatorPolicy() (answer, error) { return q.policy(true) }

// policyWish is what a body, or a definition, says of a policy.
func policyWish(body object) topology.PolicyWish {
	value := func(key string) any {
		if v, given := body[key]; !given || v != nil {
			return v
		}
		return topology.JSONNull
	}
	return topology.PolicyWish{
		Pattern: value("pattern"), Definition: value("definition"), Priority: value("priority"), ApplyTo: value("apply-to"),
	}
}

func (q *request) setPolicy(operator bool) (answer, error) {
	body, err := q.body("pattern", "definition")
	if err != nil {
		return answer{}, err
	}
	return put(q.server.Editor.PutPolicy(q.context(), q.values["vhost"], q.values["name"], operator, policyWish(body), nil))
}

func (q *request) putPolicy() (answer, error) { return q.setPolicy(false) }

func (q *request) putOperatorPolicy() (answer, error) { return q.setPolicy(true) }

func (q *request) dropPolicy(operator bool) (answer, error) {
	return removed(q.server.Editor.DeletePolicy(q.context(), q.values["vhost"], q.values["name"], operator, nil))
}

func (q *request) deletePolicy() (answer, error) { return q.dropPolicy(false) }

func (q *request) deleteOperatorPolicy() (answer, error) { return q.dropPolicy(true) }

// effectivePolicy is what the policies of a queue say together: where both set something, the stricter, or the operator's.
func effectivePolicy(policy, operator *topology.Policy) object {
	o := object{}
	for _, p := range []*topology.Policy{policy, operator} {
		if p == nil {
			continue
		}
		for name, value := range p.Values() {
			o[name] = merged(name, o[name], value)
		}
	}
	return o
}

// lowest are the settings of which the lower value counts, highest those of which the higher does.
var (
	lowest = []string{
		"message-ttl", "expires", "max-length", "max-length-bytes", "max-in-memory-length", "max-in-memory-bytes",
		"delivery-limit", "delayed-retry-max",
	}
	highest = []string{"target-group-size", "delayed-retry-min"}
)

// merged is what counts of what a policy and an operator policy say.
func merged(name string, have, want any) any {
	a, isNumber := integer(have)
	b, isAlso := integer(want)
	if !isNumber || !isAlso {
		return want
	}
	less := a < b
	if name == "delivery-limit" && (a < 0 || b < 0) { // unlimited
		less = !less
	}
	if slices.Contains(lowest, name) && less || slices.Contains(highest, name) && !less {
		return have
	}
	return want
}

// name is the name of a policy, null if there is none.
func policyName(p *topology.Policy) any {
	if p == nil {
		return nil
	}
	return p.Name
}
