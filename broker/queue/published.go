package queue

import "github.com/warrenmq/warren/store/oplog"

// Published visits the messages that an entry brought, once for each queue they went to. It is for whoever has lost the
// machine: what was settled since, or never taken, is among them.
func Published(e *oplog.Entry, visit func(to ID, record oplog.Span)) error {
	for _, b := range e.Batches {
		for data, at := b.Data, b.At; len(data) > 0; {
			if len(data) < commandHead || data[1] != commandVersion || uint64(len(data)) < commandHead+uint64(le.Uint32(data[2:])) {
				return ErrCommand
			}
			n := commandHead + le.Uint32(data[2:])
			if Op(data[0]) == OpPublish {
				var p publish
				if err := p.decode(data[commandHead:n], at+commandHead); err != nil {
					return err
				}
				if err := p.each(e.Index, visit); err != nil {
					return err
				}
			}
			data, at = data[n:], at+n
		}
	}
	return nil
}

func (p *publish) each(index uint64, visit func(ID, oplog.Span)) error {
	for rest, at := p.records, p.at; len(rest) > 0; {
		if len(rest) < RecordGap || uint64(len(rest)) < RecordGap+uint64(le.Uint32(rest)) {
			return ErrCommand
		}
		length := le.Uint32(rest)
		for i := range len(p.targets) / 8 {
			visit(p.target(i), oplog.Span{Index: index, Offset: at + RecordGap, Length: length})
		}
		rest, at = rest[RecordGap+length:], at+RecordGap+length
	}
	return nil
}
