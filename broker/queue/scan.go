package queue

// Commands visits the commands of a batch, but publishes and settlements.
func Commands(data []byte, visit func(c Command)) error {
	var s Set
	for len(data) > 0 {
		if len(data) < commandHead || data[1] != commandVersion || uint64(len(data)) < commandHead+uint64(le.Uint32(data[2:])) {
			return ErrCommand
		}
		op, n := Op(data[0]), commandHead+le.Uint32(data[2:])
		if op != OpPublish && op != OpSettle {
			c := s.newCommand(op)
			if c == nil {
				return ErrCommand
			}
			r := reader{data: data[commandHead:n]}
			if c.decode(&r); r.bad {
				return ErrCommand
			}
			visit(c)
		}
		data = data[n:]
	}
	return nil
}

// Publishes visits the messages of a batch that are to be confirmed, those of one command together.
func Publishes(data []byte, visit func(channel uint16, number uint64, count uint32)) error {
	for len(data) > 0 {
		if len(data) < commandHead || data[1] != commandVersion || uint64(len(data)) < commandHead+uint64(le.Uint32(data[2:])) {
			return ErrCommand
		}
		n := commandHead + le.Uint32(data[2:])
		if Op(data[0]) == OpPublish {
			var p publish
			if err := p.decode(data[commandHead:n], commandHead); err != nil {
				return err
			}
			if p.confirm {
				visit(p.channel, p.number, p.count)
			}
		}
		data = data[n:]
	}
	return nil
}

// RequestOf gives the number of the request that a command is answered under, 0 if nobody waits for an answer.
func RequestOf(c Command) uint32 {
	switch c := c.(type) {
	case *Declare:
		return c.Request
	case *Delete:
		return c.Request
	case *Purge:
		return c.Request
	case *Attach:
		return c.Request
	case *Detach:
		return c.Request
	case *Get:
		return c.Request
	case *Down:
		return c.Request
	case *Leave:
		return c.Request
	}
	return 0
}
