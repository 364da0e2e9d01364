// Package settings owns what an operator can tell Warren: one list of settings, and the values they have.
//
//  1. List is the list. A setting has one name, which is its key in a configuration file; its flag and its variable follow
//     from the name, so that there is nothing else to keep in step.
//  2. Load reads the defaults, then the files, then the environment, then the flags. What comes later wins. A value that
//     cannot be is an error that says where it stands; a key that nobody knows is a warning with the nearest name.
//  3. Values answers by name, in the setting's type, and knows where each value came from.
//
// It never acts on a value: what a setting does is the business of whoever asks for it.
package settings

import (
	"slices"
	"strings"
	"sync"
)

// Setting is one line of the list.
type Setting struct {
	// Name is the key in a configuration file: words with dots. A word "$name" stands for any word.
	Name string
	// Kind says what values there are.
	Kind Kind
	// Default is the value when nobody says anything, as one would write it. "" is none.
	Default string
	// Text says in a line what the setting does.
	Text string
	// Also are further variables of the environment: the names that RabbitMQ has for it.
	Also []string
	// Choices are the values of a Choice.
	Choices []string
	// Least and Most bound a Number; Most 0 is no bound.
	Least, Most int64
	// Reload tells that a running broker takes a new value.
	Reload bool
	// Secret tells that the value is never shown.
	Secret bool
	// FlagOnly tells that the setting is about one start, so that a file has no place for it.
	FlagOnly bool
}

// Open tells that the name has a word that stands for any.
func (s *Setting) Open() bool { return strings.Contains(s.Name, "$") }

// Flag is the setting's name on the command line, without dashes in front; "" for a setting with an open name.
func (s *Setting) Flag() string {
	if s.Open() {
		return ""
	}
	return strings.NewReplacer(".", "-", "_", "-").Replace(s.Name)
}

// Variables are the setting's names in the environment, the most particular last.
func (s *Setting) Variables() []string {
	if s.Open() {
		return s.Also
	}
	own := "WARREN_" + strings.ToUpper(strings.ReplaceAll(s.Name, ".", "_"))
	return append(slices.Clone(s.Also), own)
}

// Find gives the setting that a key is for, or nil.
func Find(key string) *Setting {
	known := index()
	if i, ok := known.exact[key]; ok {
		return &List[i]
	}
	words := strings.Split(key, ".")
	for _, i := range known.open {
		if fits(strings.Split(List[i].Name, "."), words) {
			return &List[i]
		}
	}
	return nil
}

// fits tells whether a key's words are those of a name, whose words "$name" stand for any.
func fits(name, words []string) bool {
	if len(name) != len(words) {
		return false
	}
	for i, w := range name {
		if w != words[i] && (!strings.HasPrefix(w, "$") || words[i] == "") {
			return false
		}
	}
	return true
}

// finder is where the settings stand in the list.
type finder struct {
	exact map[string]int
	open  []int
}

var index = sync.OnceValue(func() finder {
	f := finder{exact: make(map[string]int, len(List))}
	for i := range List {
		if List[i].Open() {
			f.open = append(f.open, i)
		} else {
			f.exact[List[i].Name] = i
		}
	}
	return f
})
