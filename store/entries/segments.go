package entries

import (
	"cmp"
	"slices"
	"sort"
)

// Segment is neighbouring entries that are freed together. Bytes is what they take on disk.
type Segment struct {
	First, Last uint64
	Bytes       int64
	live        int64
}

// Live is how many of the segment's bytes are needed.
func (s *Segment) Live() int64 { return s.live }

// dead is how many of them are not. The rounding of what an entry takes beside its data is nobody's loss.
func (s *Segment) dead() int64 { return max(s.Bytes-s.live, 0) }

// segmentBytes is from which size a segment is closed.
const segmentBytes = 4 << 20

// Segments keeps the account of what lives where. owner: the machine's goroutine
type Segments struct {
	list  []Segment
	Bytes int64 // of all
	Live  int64
}

// Restore takes the segments of a snapshot; what lives in them is told by Account.
func (s *Segments) Restore(list []Segment) {
	*s = Segments{list: slices.Clone(list)}
	for i := range s.list {
		s.Bytes += s.list[i].Bytes
	}
}

// Add notes a new entry, with so many bytes of data, behind all others.
func (s *Segments) Add(index uint64, data int) {
	bytes := int64(Footprint(data))
	s.Bytes += bytes
	if n := len(s.list); n > 0 {
		if last := &s.list[n-1]; last.Bytes < segmentBytes && last.Last+1 == index {
			last.Last, last.Bytes = index, last.Bytes+bytes
			return
		}
	}
	s.list = append(s.list, Segment{First: index, Last: index, Bytes: bytes})
}

// Account adds to the live bytes of an entry.
func (s *Segments) Account(index uint64, bytes int64) {
	g := s.find(index)
	if g == nil {
		bug("entry %d is in no segment, and %d bytes of it are said to be live", index, bytes)
		return
	}
	g.live += bytes
	s.Live += bytes
	if g.live < 0 {
		bug("entry %d: more bytes released than were live", index)
	}
}

func (s *Segments) find(index uint64) *Segment {
	n := len(s.list)
	if n > 0 && s.list[n-1].First <= index {
		n--
	} else {
		n = sort.Search(n, func(i int) bool { return s.list[i].First > index }) - 1
	}
	if n < 0 || index > s.list[n].Last {
		return nil
	}
	return &s.list[n]
}

// Dead is how many bytes nobody needs.
func (s *Segments) Dead() int64 { return max(s.Bytes-s.Live, 0) }

// Snapshot gives a copy for a snapshot.
func (s *Segments) Snapshot() []Segment { return slices.Clone(s.list) }

// Free takes the segments out that hold nothing live and end at or before upTo, joined where they touch.
func (s *Segments) Free(upTo uint64) []Segment {
	var dead []Segment
	s.list = slices.DeleteFunc(s.list, func(g Segment) bool {
		if g.live > 0 || g.Last > upTo {
			return false
		}
		s.Bytes -= g.Bytes
		if n := len(dead); n > 0 && dead[n-1].Last+1 == g.First {
			dead[n-1].Last = g.Last
		} else {
			dead = append(dead, g)
		}
		return true
	})
	return dead
}

// Sparse gives segments that end at or before upTo and are worth packing, in order: those with the smallest live share, so
// many that no more than slack bytes would be dead afterwards. What is packed of them is told by Packed.
func (s *Segments) Sparse(upTo uint64, slack int64) []Segment {
	excess := s.Dead() - slack
	if excess <= 0 {
		return nil
	}
	var list []Segment
	for _, g := range s.list {
		if g.Last <= upTo && g.live > 0 && g.dead() > g.Bytes/packShare {
			list = append(list, g)
		}
	}
	slices.SortFunc(list, func(a, b Segment) int {
		return cmp.Or(cmp.Compare(float64(a.live)/float64(a.Bytes), float64(b.live)/float64(b.Bytes)), cmp.Compare(a.First, b.First))
	})
	n := 0
	for n < len(list) && excess > 0 {
		excess -= list[n].dead()
		n++
	}
	list = list[:n]
	slices.SortFunc(list, func(a, b Segment) int { return cmp.Compare(a.First, b.First) })
	return list
}

// packShare: a segment of which less than this part is dead is not worth copying.
const packShare = 8

// Packed notes what is left on disk of the segment that begins at first.
func (s *Segments) Packed(first uint64, bytes int64) {
	g := s.find(first)
	if g == nil || g.First != first {
		bug("no segment begins at entry %d", first)
		return
	}
	s.Bytes += bytes - g.Bytes
	g.Bytes = bytes
}

// Join makes neighbours one that are small together, so that stragglers do not make the list long. The newest stays alone.
func (s *Segments) Join(upTo uint64) {
	joined := s.list[:0]
	for _, g := range s.list {
		if n := len(joined); n > 0 && g.Last <= upTo && joined[n-1].Bytes+g.Bytes <= segmentBytes {
			last := &joined[n-1]
			last.Last, last.Bytes, last.live = g.Last, last.Bytes+g.Bytes, last.live+g.live
			continue
		}
		joined = append(joined, g)
	}
	clear(s.list[len(joined):])
	s.list = joined
}
