package topology

import (
	"regexp"
	"time"

	"github.com/dlclark/regexp2"
)

// Pattern is a regular expression of a permission or policy, searched for anywhere in a name. What Go's linear-time
// engine cannot say (look-around, as in "^(?!amq\.)") goes to one that backtracks, with a limit on its time.
type Pattern struct {
	text   string
	linear *regexp.Regexp
	other  *regexp2.Regexp
}

// patternTime bounds one search of a backtracking pattern; a name that takes longer does not match.
const patternTime = 10 * time.Millisecond

// CompilePattern reads a pattern; the error is for the one who wrote it.
func CompilePattern(text string) (*Pattern, error) {
	p := &Pattern{text: text}
	linear, err := regexp.Compile(text)
	if err == nil {
		p.linear = linear
		return p, nil
	}
	p.other, err = regexp2.Compile(text, regexp2.None)
	if err != nil {
		return nil, err
	}
	p.other.MatchTimeout = patternTime
	return p, nil
}

// String is the pattern as it was written.
func (p *Pattern) String() string { return p.text }

// Match searches name.
func (p *Pattern) Match(name string) bool {
	if p == nil {
		return false
	}
	if p.linear != nil {
		return p.linear.MatchString(name)
	}
	found, err := p.other.MatchString(name)
	return err == nil && found
}
