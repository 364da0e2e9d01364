package settings

import "strings"

// Nearest gives the known name that is most like a word, or "" if none is like it.
func Nearest(word string, known []string) string {
	best, least := "", len(word)/3+2
	for _, name := range known {
		if d := distance(word, name, least); d < least {
			best, least = name, d
		}
	}
	return best
}

// distance is how many letters have to be changed, added, left out or swapped with their neighbour, or most if those are
// as many.
func distance(a, b string, most int) int {
	if len(a)-len(b) >= most || len(b)-len(a) >= most {
		return most
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return min(last[len(b)], most)
}

// NearestKey gives the known key that is most like one that is not known. Words that stand for any are taken as said.
func NearestKey(key string) string {
	words := strings.Split(key, ".")
	var names []string
	for i := range List {
		if !List[i].FlagOnly {
			names = append(names, as(List[i].Name, words))
		}
	}
	for name := range withoutEffect() {
		names = append(names, as(name, words))
	}
	return Nearest(key, names)
}

// as puts the words of a key where a name has words that stand for any.
func as(name string, words []string) string {
	if !strings.Contains(name, "$") {
		return name
	}
	parts := strings.Split(name, ".")
	for i, p := range parts {
		if strings.HasPrefix(p, "$") && i < len(words) {
			parts[i] = words[i]
		}
	}
	return strings.Join(parts, ".")
}
