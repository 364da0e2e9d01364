package topology

import (
	"regexp"
	"strings"
)

// Operation is what a permission pattern is for.
type Operation uint8

// Operations.
const (
	Configure Operation = iota
	Write
	Read
)

// String is the word in refusals.
func (o Operation) String() string { return [...]string{"configure", "write", "read"}[o] }

// Permits tells whether the permission covers a name. The default exchange goes by amq.default.
func (p *Permission) Permits(o Operation, name string) bool {
	if p == nil {
		return false
	}
	return [...]*Pattern{p.Configure, p.Write, p.Read}[o].Match(name)
}

// compile fills a topic permission's variables in, quoted, so that no user or vhost name can widen the pattern.
func (p *TopicPermission) compile(text string) (*Pattern, error) {
	fill := strings.NewReplacer("{username}", regexp.QuoteMeta(p.User), "{vhost}", regexp.QuoteMeta(p.VHost))
	return CompilePattern(nothingIfEmpty(fill.Replace(text)))
}

// Permits tells whether the permission covers a routing key, for writing or reading.
func (p *TopicPermission) Permits(o Operation, routingKey string) bool {
	if o == Write {
		return p.write.Match(routingKey)
	}
	return p.read.Match(routingKey)
}
