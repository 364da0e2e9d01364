package topology

import (
	"net/url"
	"strings"
)

// Metadata keys: a section, then names with / and % escaped.
//
//	vhost/V                    user/U                    global/N
//	permission/V/U             topic-permission/V/U/X    parameter/V/COMPONENT/N
//	policy/V/N                 operator-policy/V/N
//	exchange/V/X               queue/V/Q
//	binding/V/SOURCE/KIND/DESTINATION/KEY/ARGUMENTS
//
// KIND is q or x; ARGUMENTS are the canonical octets of the table.
const (
	sectionVHost      = "vhost"
	sectionUser       = "user"
	sectionGlobal     = "global"
	sectionPermission = "permission"
	sectionTopic      = "topic-permission"
	sectionParameter  = "parameter"
	sectionPolicy     = "policy"
	sectionOperator   = "operator-policy"
	sectionExchange   = "exchange"
	sectionQueue      = "queue"
	sectionBinding    = "binding"
)

// order is in which order sections are read: what a record refers to comes before it.
var order = map[string]int{
	sectionGlobal: 0, sectionUser: 1, sectionVHost: 2, sectionPermission: 3, sectionTopic: 4, sectionParameter: 5,
	sectionPolicy: 6, sectionOperator: 7, sectionExchange: 8, sectionQueue: 9, sectionBinding: 10,
}

func key(section string, names ...string) string {
	var b strings.Builder
	b.WriteString(section)
	for _, name := range names {
		b.WriteByte('/')
		b.WriteString(escape(name))
	}
	return b.String()
}

// escape keeps names readable: only what would be taken for structure, or is no printable ASCII, is escaped.
func escape(name string) string {
	for i := range len(name) {
		if c := name[i]; c == '/' || c == '%' || c < ' ' || c > '~' {
			return url.PathEscape(name)
		}
	}
	return name
}

// splitKey undoes key. Keys that are not of this shape give no names.
func splitKey(k string) (section string, names []string) {
	parts := strings.Split(k, "/")
	for _, part := range parts[1:] {
		name, err := url.PathUnescape(part)
		if err != nil {
			return parts[0], nil
		}
		names = append(names, name)
	}
	return parts[0], names
}
