package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestGeneratedFileIsFresh(t *testing.T) {
	want, err := generate(methodTable)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../" + outputFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatal(outputFile + " is stale: run go generate in package protocol")
	}
}

func TestParseRefusesWhatItDoesNotUnderstand(t *testing.T) {
	for table, want := range map[string]string{
		"class basic sixty":                      "line 1",
		"class basic 60\n ack eighty : x":        "line 2",
		"class basic 60\n ack 80 fast : x":       `unknown flag "fast"`,
		"class basic 60\n ack 80 : x\n  tag int": "line 3",
		"class basic 60\n ack : x":               "a name and a number",
		"  tag longlong":                         "neither class, method nor field",
	} {
		_, err := parse(table)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("parse(%q) = %v, want %q", table, err, want)
		}
	}
}

func TestEveryReplyExists(t *testing.T) {
	methods, err := parse(methodTable)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, m := range methods {
		if known[m.wireName()] {
			t.Errorf("%s stands twice", m.wireName())
		}
		known[m.wireName()] = true
	}
	for _, m := range methods {
		for _, reply := range m.replies {
			if !known[m.class+"."+reply] {
				t.Errorf("%s: no method %s.%s", m.wireName(), m.class, reply)
			}
		}
	}
}
