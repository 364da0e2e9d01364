package topology

import "github.com/warrenmq/warren/store/meta"

// Newcomer is a user that every new vhost of a name brings with it: with rights there, and made if it is not there yet.
type Newcomer struct {
	Name                   string
	VHosts                 *Pattern // the names of vhosts
	Configure, Write, Read string
	// Record makes the user's record. It is asked only when there is no such user: a password's hash takes its time.
	Record func() (UserRecord, error)
}

// newcomers are the users that a vhost brings, with the records of those that are not there.
func (e *Editor) newcomers(vhost string) (list []Newcomer, records map[string]*UserRecord, err error) {
	c := e.Catalog()
	records = map[string]*UserRecord{}
	for _, n := range e.Newcomers {
		if !n.VHosts.Match(vhost) {
			continue
		}
		list = append(list, n)
		if c.User(n.Name) != nil {
			continue
		}
		record, err := n.Record()
		if err != nil {
			return nil, nil, err
		}
		records[n.Name] = &record
	}
	return list, records, nil
}

// bring adds to the making of a vhost what its newcomers need.
func bring(txn *meta.Txn, c *Catalog, vhost string, list []Newcomer, records map[string]*UserRecord) {
	for _, n := range list {
		k := key(sectionUser, n.Name)
		u, record := c.User(n.Name), records[n.Name]
		switch {
		case u != nil:
			txn.Guards = append(txn.Guards, meta.Guard{Key: k, Revision: u.Revision})
		case record != nil:
			txn.Guards = append(txn.Guards, meta.Guard{Key: k})
			txn.Ops = append(txn.Ops, put(k, record, false))
		default: // deleted a moment ago
			continue
		}
		txn.Ops = append(txn.Ops, put(key(sectionPermission, vhost, n.Name), &permissionRecord{n.Configure, n.Write, n.Read}, false))
	}
}
