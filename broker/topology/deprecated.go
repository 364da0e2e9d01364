package topology

import "github.com/warrenmq/warren/protocol"

// Deprecated features of RabbitMQ that a configuration may permit or forbid (deprecated_features.permit.NAME), with what
// holds when it says nothing.
var deprecatedByDefault = map[string]bool{
	"transient_nonexcl_queues": true,
	"global_qos":               true,
	"queue_master_locator":     false,
}

// Forbidden gives the deprecated features that are not permitted, from those that a configuration names.
func Forbidden(permit map[string]bool) map[string]bool {
	forbidden := map[string]bool{}
	for name, permitted := range deprecatedByDefault {
		if said, ok := permit[name]; ok {
			permitted = said
		}
		forbidden[name] = !permitted
	}
	return forbidden
}

// deprecated is the refusal of a feature that is not permitted.
func deprecated(name string) *protocol.Error {
	if deprecatedByDefault[name] {
		return protocol.Errorf(protocol.CodeInternalError, "Feature `%s` is deprecated.\nIts use is not permitted per the configuration (overriding the default, which is permitted):\n    \"deprecated_features.permit.%s = false\"\nIts use will not be permitted by default in a future minor version and the feature will be removed from a future major version; actual versions to be determined.", name, name)
	}
	return protocol.Errorf(protocol.CodeInternalError, "Feature `%s` is deprecated.\nBy default, this feature is not permitted anymore.\nThe feature will be removed from a future major RabbitMQ version, regardless of the configuration; actual version to be determined.\nTo continue using this feature when it is not permitted by default, set the following parameter in your configuration:\n    \"deprecated_features.permit.%s = true\"", name, name)
}
