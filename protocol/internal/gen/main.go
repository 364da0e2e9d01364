// Command gen writes methods_gen.go of package protocol from methods.txt, the
// one table of AMQP's classes and methods. It never looks at anything else, so
// equal tables give equal files. `go generate` in package protocol:
//
//  1. parse reads the table into classes, methods and fields, and refuses what
//     it does not understand, with the line number.
//  2. emit prints ids, names, struct types and their codecs.
//  3. go/format lays the text out; it goes to methods_gen.go in the working
//     directory.
package main

import (
	_ "embed"
	"fmt"
	"go/format"
	"os"
)

const outputFile = "methods_gen.go"

//go:embed methods.txt
var methodTable string

func main() {
	source, err := generate(methodTable)
	if err == nil {
		err = os.WriteFile(outputFile, source, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// generate returns the Go source for a table.
func generate(table string) ([]byte, error) {
	methods, err := parse(table)
	if err != nil {
		return nil, err
	}
	return format.Source(emit(methods))
}
