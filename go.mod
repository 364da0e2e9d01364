module github.com/warrenmq/warren

go 1.26.0

require (
	github.com/benbjohnson/immutable v0.4.3 // indirect
	github.com/dlclark/regexp2 v1.11.5 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/exp v0.0.0-20220518171630-0b5c67f07fdf // indirect
)
