package transport

import (
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// spoken is the number of the protocol between nodes: of all that they say to each other over a Transport, and of what is in the
// logs that they share. Nodes of one number work together, whatever their versions: what is added so that those who do not know it
// can do without changes nothing. The number rises when a node would misread another, or lack what it was told. Tests build nodes
// that speak another.
var spoken = "1"

// Protocol is the number of the protocol that this program speaks with other nodes. Before there were numbers it was 0.
func Protocol() uint64 {
	n, err := strconv.ParseUint(spoken, 10, 64)
	if err != nil {
		bug("the protocol between nodes is %q", spoken)
	}
	return n
}

// headerProtocol says which protocol a node speaks: of every stream, and of the answer to it, before anything else is said.
const headerProtocol = "warren-protocol"

// understands gives an error, for both ends and their logs, if another node speaks something else.
func (t *Transport) understands(node uint64, headers metadata.MD) error {
	said := "0"
	if values := headers.Get(headerProtocol); len(values) > 0 {
		said = values[0]
	}
	if said == t.protocol {
		return nil
	}
	return status.Errorf(codes.FailedPrecondition, "node %d speaks protocol %s between nodes, and node %d protocol %s: "+
		"they do not hear each other until their versions go together", node, said, t.Node, t.protocol)
}

// refuse notes in the log that a node is not heard, once in a while.
func (t *Transport) refuse(node uint64, err error) {
	t.refusing.Lock()
	defer t.refusing.Unlock()
	said := t.refused[node]
	if said.news(err, time.Now()) {
		t.Logger.Error().Err(err).Uint64("peer", node).Msg("a node is refused")
	}
	t.refused[node] = said
}
