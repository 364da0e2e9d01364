package main

import (
	"go/ast"
	"slices"
	"strconv"
	"strings"
)

// room is one row of the import table. Lists are separated by spaces.
type room struct {
	dir   string // the package, or "a/..." for it and all below that have no row of their own
	may   string // what it and its tests may import of this module: packages, or "a/..."
	never string // what its own files (not its tests) must not import from elsewhere: that package and all below it
}

// What no package of a kind needs, because of what the kind is for.
const (
	logging = "log github.com/rs/zerolog"
	engines = "github.com/cockroachdb/pebble go.etcd.io google.golang.org/grpc" // storage, consensus, transport
	world   = logging + " " + engines + " net os context"
	chance  = "time sync math/rand crypto/rand runtime" // what would make two replicas of a queue differ
)

// rooms is who may import whom. It is read from the bottom of the house to the top: a row names only rows above it,
// which a test checks, so imports run one way. broker and cluster never meet: cmd brings them together.
// A wish to import upward is a design question (docs/design), not a new word in this table.
var rooms = []room{
	{"protocol", "", world + " math/rand"},
	{"protocol/internal/gen", "", engines},

	{"store/keys", "", world},
	{"store/oplog", "", logging + " " + engines + " net"},
	{"store/meta", "", logging + " " + engines + " net"},
	{"store", "store/keys", "net"},
	{"store/entries", "store/keys store/oplog store", "net"},
	{"store/metadb", "store/keys store/meta store", "net"},

	{"cluster/authority", "", engines},
	{"cluster/transport", "store/oplog", ""},
	{"cluster/raftlog", "store/keys store/oplog store store/entries cluster/transport", "net"},
	{"cluster/etcdmeta", "store/meta", ""},
	{"cluster/membership", "store/meta", "net"},
	{"cluster/placement", "store/oplog store/meta cluster/membership cluster/raftlog", "net"},

	{"broker/message", "protocol", world},
	{"broker/ledger", "", world + " " + chance},
	{"broker/queue", "store/oplog broker/message broker/ledger", world + " " + chance},
	{"broker/matching", "protocol", world},
	{"broker/topology", "protocol store/meta broker/queue broker/matching", logging + " " + engines + " net/http os"},
	{"broker/routing", "protocol broker/message broker/queue broker/matching broker/topology", world},
	{"broker/stats", "", engines},
	{"broker/audit", "", engines},
	{"broker/logs", "", engines},
	{"broker/settings", "", logging + " " + engines + " net/http context"},
	{"broker/listen", "", logging + " " + engines + " net/http"},
	{"broker/auth", "protocol broker/audit broker/topology", engines},
	{"broker/limits", "broker/topology broker/stats", engines},
	{"broker/sealing", "store/meta", engines},
	{"broker/usage", "store/meta broker/topology broker/stats", engines},
	{"broker/group", "protocol store/oplog broker/message broker/queue broker/topology broker/stats broker/limits" +
		" broker/sealing broker/usage", engines},
	{"broker/dispatch", "protocol store/oplog broker/message broker/queue broker/matching broker/topology broker/routing broker/stats" +
		" broker/auth broker/limits broker/usage broker/group", engines},
	{"broker/forward", "protocol store/oplog broker/message broker/queue broker/matching broker/topology broker/routing" +
		" broker/group broker/dispatch", engines},
	{"broker/link", "protocol store/oplog store/meta broker/message broker/queue broker/topology broker/group broker/dispatch", engines},
	{"broker/events", "protocol store/oplog store/meta broker/message broker/queue broker/matching broker/topology broker/routing" +
		" broker/auth broker/group broker/dispatch", engines},
	{"broker/session", "protocol broker/message broker/ledger broker/queue broker/matching broker/topology broker/routing broker/stats broker/events" +
		" broker/audit broker/auth broker/limits broker/usage broker/group broker/dispatch", engines},
	{"broker/management", "protocol broker/queue broker/matching broker/topology broker/stats broker/audit broker/logs broker/auth" +
		" broker/limits broker/usage broker/group broker/dispatch broker/session", engines},
	{"broker/metrics", "protocol broker/queue broker/topology broker/stats broker/logs broker/auth broker/limits broker/group broker/dispatch broker/session", engines},
	{"broker", "protocol store/oplog store/meta broker/...", engines},
	{"broker/brokertest", "broker broker/limits broker/listen", engines},

	{"compat-tests/...", "compat-tests/...", ""},
	{"cmd/...", "...", ""},
}

// contracts are what the tests of the broker's packages may import besides: the in-memory forms of what a package is
// handed from above, such as the metadata behind a Catalog.
const contracts = "store/oplog store/meta"

func checkImports(t *tree, r *report) {
	for _, p := range t.packages {
		row, found := roomOf(p.dir)
		if !found {
			r.add(p.files[0].path, 1, "package %s has no row in the table of cmd/tidy/imports.go", p.dir)
			continue
		}
		for _, s := range p.files {
			for _, spec := range s.syntax.Imports {
				row.judge(t, r, p, s, spec)
			}
		}
	}
}

// roomOf finds the row of a package: its own, or the longest "a/..." that covers it.
func roomOf(dir string) (room, bool) {
	var best room
	found := false
	for _, row := range rooms {
		if row.dir == dir {
			return row, true
		}
		if inDirs([]string{row.dir}, dir) && (!found || len(row.dir) > len(best.dir)) {
			best, found = row, true
		}
	}
	return best, found
}

func (row room) judge(t *tree, r *report, p *pkg, s *source, spec *ast.ImportSpec) {
	path, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return // the parser has accepted it: cannot be
	}
	if dir, inside := t.inModule(path); inside {
		may := strings.Fields(row.may)
		if s.test && strings.HasPrefix(p.dir, "broker/") {
			may = append(may, strings.Fields(contracts)...)
		}
		if dir != p.dir && !inDirs(may, dir) {
			r.at(t, spec.Pos(), "%s must not import %s", p.dir, dir)
		}
		return
	}
	if !s.test && forbidden(strings.Fields(row.never), path) {
		r.at(t, spec.Pos(), "%s must not import %s", p.dir, path)
	}
}

// inModule answers with the directory of an import path of this module.
func (t *tree) inModule(path string) (string, bool) {
	if path == t.module {
		return ".", true
	}
	return strings.CutPrefix(path, t.module+"/")
}

func forbidden(never []string, path string) bool {
	return slices.ContainsFunc(never, func(p string) bool {
		return path == p || strings.HasPrefix(path, p+"/")
	})
}
