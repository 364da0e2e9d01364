package topology

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"strings"
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

// PatternError says which pattern could not be read.
type PatternError struct {
	Pattern string
	Err     error
}

// Error implements error.
func (e *PatternError) Error() string {
	return "invalid regular expression " + e.Pattern + ": " + e.Err.Error()
}

// Unwrap gives what the pattern's compiler said.
func (e *PatternError) Unwrap() error { return e.Err }

// Describe says what is wrong in the words of PCRE, and after how many characters that shows.
func (e *PatternError) Describe() (reason string, at int) {
	_, err := syntax.Parse(e.Pattern, syntax.Perl)
	var fault *syntax.Error
	if !errors.As(err, &fault) {
		return e.Err.Error(), len(e.Pattern)
	}
	end := strings.Index(e.Pattern, fault.Expr) + len(fault.Expr)
	switch fault.Code {
	case syntax.ErrMissingParen:
		return "missing closing parenthesis", len(e.Pattern)
	case syntax.ErrUnexpectedParen:
		return "unmatched closing parenthesis", surplusParen(e.Pattern)
	case syntax.ErrMissingBracket:
		return "missing terminating ] for character class", len(e.Pattern)
	case syntax.ErrMissingRepeatArgument, syntax.ErrInvalidRepeatOp:
		return "quantifier does not follow a repeatable item", end
	case syntax.ErrInvalidRepeatSize:
		return "numbers out of order in {} quantifier", end - 1
	case syntax.ErrTrailingBackslash:
		return `\ at end of pattern`, len(e.Pattern)
	case syntax.ErrInvalidCharRange:
		return "range out of order in character class", end
	}
	return fault.Code.String(), end
}

// surplusParen is how far one reads until a parenthesis closes that none has opened.
func surplusParen(pattern string) int {
	open := 0
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '\\':
			i++
		case '(':
			open++
		case ')':
			if open--; open < 0 {
				return i + 1
			}
		}
	}
	return len(pattern)
}
