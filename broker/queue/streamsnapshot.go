package queue

func (t *stream) append(dst []byte) []byte {
	dst = le.AppendUint64(dst, t.next)
	dst = le.AppendUint32(dst, uint32(len(t.segments)))
	for _, g := range t.segments {
		dst = le.AppendUint64(dst, g.first)
		dst = le.AppendUint64(dst, g.count)
		dst = le.AppendUint64(dst, uint64(g.bytes))
		dst = le.AppendUint64(dst, uint64(g.newest))
		dst = le.AppendUint64(dst, g.tailAt)
		dst = le.AppendUint32(dst, uint32(len(g.blocks)))
		for _, b := range g.blocks {
			dst = le.AppendUint64(dst, b.offset)
			dst = le.AppendUint64(dst, uint64(b.time))
			dst = appendBlock(dst, b.block)
		}
		dst = appendRuns(dst, g.tail)
	}
	return dst
}

func (t *stream) read(r *reader) {
	t.next = r.uint64()
	for n := r.uint32(); n > 0 && !r.bad; n-- {
		g := &segment{first: r.uint64(), count: r.uint64(), bytes: r.int64(), newest: r.int64(), tailAt: r.uint64()}
		for m := r.uint32(); m > 0 && !r.bad; m-- {
			b := streamBlock{offset: r.uint64(), time: r.int64()}
			b.block = readBlock(r)
			g.blocks = append(g.blocks, b)
		}
		g.tail = readRuns(r)
		t.segments = append(t.segments, g)
		t.bytes += g.bytes
	}
}
