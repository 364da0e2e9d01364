package queue

import (
	"cmp"
	"maps"
	"slices"
)

func (e *keyring) append(dst []byte) []byte {
	dst = le.AppendUint32(dst, uint32(len(e.keys)))
	for _, key := range sortedKeys(e.keys) {
		m := e.keys[key]
		dst = appendString(dst, key)
		dst = le.AppendUint32(dst, uint32(m.holders))
		dst = le.AppendUint64(dst, uint64(m.until))
	}
	dst = le.AppendUint32(dst, uint32(len(e.places)))
	for _, at := range sortedPlaces(e.places) {
		dst = le.AppendUint64(dst, at.index)
		dst = le.AppendUint32(dst, at.offset)
		dst = appendString(dst, e.places[at])
	}
	dst = le.AppendUint32(dst, uint32(len(e.order)))
	for _, key := range e.order {
		dst = appendString(dst, key)
	}
	return dst
}

// sortedKeys gives the keys of a map in order. Most of the maps of most queues are empty.
func sortedKeys[K cmp.Ordered, V any](of map[K]V) []K {
	if len(of) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(of))
}

func sortedPlaces(of map[place]string) []place {
	if len(of) == 0 {
		return nil
	}
	return slices.SortedFunc(maps.Keys(of), comparePlaces)
}

func comparePlaces(a, b place) int {
	return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(a.offset, b.offset))
}

func (e *keyring) read(r *reader) {
	for n := r.uint32(); n > 0 && !r.bad; n-- {
		if e.keys == nil {
			e.keys = map[string]memory{}
		}
		key := r.string()
		e.keys[key] = memory{holders: int(r.uint32()), until: r.int64()}
	}
	for n := r.uint32(); n > 0 && !r.bad; n-- {
		if e.places == nil {
			e.places = map[place]string{}
		}
		at := place{index: r.uint64(), offset: r.uint32()}
		e.places[at] = r.string()
	}
	for n := r.uint32(); n > 0 && !r.bad; n-- {
		e.order = append(e.order, r.string())
	}
}

func (p producers) append(dst []byte) []byte {
	dst = le.AppendUint32(dst, uint32(len(p)))
	for _, id := range sortedKeys(p) {
		dst = le.AppendUint64(dst, id)
		dst = le.AppendUint64(dst, p[id].last)
		dst = le.AppendUint64(dst, p[id].used)
	}
	return dst
}

func readProducers(r *reader) producers {
	var p producers
	for n := r.uint32(); n > 0 && !r.bad; n-- {
		if p == nil {
			p = producers{}
		}
		id := r.uint64()
		p[id] = &producer{last: r.uint64(), used: r.uint64()}
	}
	return p
}
