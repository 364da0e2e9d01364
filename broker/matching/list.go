package matching

import "slices"

// list is an immutable bag of bindings in chunks: a change copies one chunk and the outer slice.
type list struct {
	chunks [][]*Binding
	count  int
}

// listChunk is how many bindings share a chunk.
const listChunk = 256

func (l list) with(b *Binding) list {
	n := len(l.chunks)
	if n == 0 || len(l.chunks[n-1]) >= listChunk {
		return list{chunks: append(slices.Clip(l.chunks), []*Binding{b}), count: l.count + 1}
	}
	chunks := slices.Clone(l.chunks)
	chunks[n-1] = append(slices.Clip(chunks[n-1]), b)
	return list{chunks: chunks, count: l.count + 1}
}

func (l list) without(b *Binding) list {
	for i, chunk := range l.chunks {
		j := slices.Index(chunk, b)
		if j < 0 {
			continue
		}
		chunks := slices.Clone(l.chunks)
		if len(chunk) == 1 {
			chunks = slices.Delete(chunks, i, i+1)
		} else {
			chunks[i] = slices.Concat(chunk[:j], chunk[j+1:])
		}
		return list{chunks: chunks, count: l.count - 1}
	}
	return l
}

func (l list) each(visit func(*Target)) {
	for _, chunk := range l.chunks {
		for _, b := range chunk {
			visit(b.Target)
		}
	}
}

// fanout selects every binding.
type fanout struct{ all list }

func (x *fanout) With(b *Binding) Index                 { return &fanout{x.all.with(b)} }
func (x *fanout) Without(b *Binding) Index              { return &fanout{x.all.without(b)} }
func (x *fanout) Match(_ *Message, visit func(*Target)) { x.all.each(visit) }
func (x *fanout) ByKey() bool                           { return true }
