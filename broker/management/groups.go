package management

// GroupMember is how a group stands, as its member on one node sees it.
type GroupMember struct {
	Group     uint64   `json:"group"`
	Leader    uint64   `json:"leader"` // 0: not known
	Term      uint64   `json:"term"`
	Voters    []uint64 `json:"voters"`
	Learners  []uint64 `json:"learners"`
	Last      uint64   `json:"last"`      // index of the newest entry
	Committed uint64   `json:"committed"` // and of the newest that is
	Applied   uint64   `json:"applied"`
	Written   uint64   `json:"written"`
	Snapshot  uint64   `json:"snapshot"`
	// Peers is what the leader knows of the others.
	Peers []GroupPeer `json:"peers,omitempty"`
}

// GroupPeer is another member, as the leader sees it.
type GroupPeer struct {
	Node     uint64 `json:"node"`
	Match    uint64 `json:"match"` // it has the log up to here
	State    string `json:"state"`
	SilentMs int64  `json:"silent_ms"` // since when nothing was heard of it
}
