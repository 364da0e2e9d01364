package broker

import "github.com/warrenmq/warren/broker/topology"

// Editor lets tests change what AMQP cannot: vhosts, users, permissions.
func (b *Broker) Editor() *topology.Editor { return b.editor }
