package entries

import (
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

// Add notes a new entry, of that size, behind all others.
func (s *Segments) Add(index uint64, bytes int) {
	s.Bytes += int64(bytes)
	if n := len(s.list); n > 0 {
		if last := &s.list[n-1]; last.Bytes < segmentBytes && last.Last+1 == index {
			last.Last, last.Bytes = index, last.Bytes+int64(bytes)
			return
		}
	}
	s.list = append(s.list, Segment{First: index, Last: index, Bytes: int64(bytes)})
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

// Snapshot gives a copy for a snapshot.
func (s *Segments) Snapshot() []Segment { return slices.Clone(s.list) }

// Dead takes the segments out that hold nothing live and end at or before upTo, joined where they touch.
func (s *Segments) Dead(upTo uint64) []Segment {
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
