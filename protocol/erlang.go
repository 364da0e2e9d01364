package protocol

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// RabbitMQ prints what it could not read as an Erlang term, most of it laid out
// for a terminal of 80 columns. Clients see it in reply texts, so Warren's texts
// are laid out like that.
const erlangColumns = 80

// ErlangBinary renders octets as RabbitMQ's reply texts show them: <<"abc">> if
// all of them are printable ASCII, else <<1,2,3>>. Octets that no reply text has
// room for are dropped.
func ErlangBinary(octets []byte) string {
	out := &strings.Builder{}
	writeErlangBinary(out, octets)
	return out.String()
}

// writeErlangBinary goes on in the line that out ends with.
func writeErlangBinary(out *strings.Builder, octets []byte) {
	if len(octets) > 0 && !bytes.ContainsFunc(octets, func(r rune) bool { return !erlangPrintable(r) }) {
		text := octets[:min(len(octets), shortstrMax)]
		out.WriteString(`<<"` + erlangEscapes.Replace(string(text)) + `">>`)
		return
	}
	writeErlangOctets(out, octets, erlangColumns)
}

// writeErlangOctets writes numbers, breaks the line before it fills the columns,
// and goes on below the first of them.
func writeErlangOctets(out *strings.Builder, octets []byte, columns int) {
	octets = octets[:min(len(octets), shortstrMax)]
	out.WriteString("<<")
	indent := column(out.String())
	for i, octet := range octets {
		number := strconv.Itoa(int(octet))
		if i < len(octets)-1 {
			number += ","
		}
		if column(out.String())+len(number) >= columns {
			out.WriteString("\n" + strings.Repeat(" ", indent))
		}
		out.WriteString(number)
	}
	out.WriteString(">>")
}

func erlangPrintable(r rune) bool {
	return r >= ' ' && r <= '~' || r >= '\b' && r <= '\r' || r == '\x1b'
}

var erlangEscapes = strings.NewReplacer(
	`"`, `\"`, `\`, `\\`, "\b", `\b`, "\t", `\t`, "\n", `\n`, "\v", `\v`, "\f", `\f`, "\r", `\r`, "\x1b", `\e`)

// column is where the next character of text will stand in its line.
func column(text string) int {
	return len(text) - 1 - strings.LastIndexByte(text, '\n')
}

// snippetMax is how many octets of a frame RabbitMQ shows.
const snippetMax = 16

// describeFrame begins the text of an error about a frame as a whole.
func describeFrame(f Frame) *strings.Builder {
	out := &strings.Builder{}
	shown, payload := "all", f.Payload
	if len(payload) > snippetMax {
		shown, payload = "first 16", payload[:snippetMax]
	}
	fmt.Fprintf(out, "type %d, %s octets = ", f.Type, shown)
	writeErlangBinary(out, payload)
	return out
}

// undecodable is the 501 for arguments that are cut short or too long. Of all
// texts it alone shows octets as one line of numbers.
func undecodable(id MethodID, args []byte) *Error {
	out := &strings.Builder{}
	out.WriteString("cannot decode ")
	writeErlangOctets(out, args, math.MaxInt)
	return &Error{Code: CodeFrameError, Text: out.String(), Method: id}
}

// UnexpectedFrame is the 505 for a frame that is not allowed where it came.
func UnexpectedFrame(f Frame) *Error {
	return &Error{Code: CodeUnexpectedFrame, Text: describeFrame(f).String()}
}

// unknownFrame is the 501 for a frame that is whole but makes no sense.
func unknownFrame(f Frame) *Error {
	return &Error{Code: CodeFrameError, Text: describeFrame(f).String() + ": unknown_frame"}
}

// frameTooLarge is the 501 for a payload larger than the connection allows.
func frameTooLarge(f Frame, size, frameMax uint32) *Error {
	return Errorf(CodeFrameError, "%s: {frame_too_large,%d,%d}",
		describeFrame(f), size, int64(frameMax)-FrameOverhead)
}

// invalidEnd is the 501 for a frame whose last octet is not FrameEnd.
func invalidEnd(f Frame, end byte) *Error {
	out := describeFrame(f)
	out.WriteString(": ")
	const name = "{invalid_frame_end_marker,"
	number := strconv.Itoa(int(end))
	start := column(out.String())
	out.WriteString(name)
	if start+len(name)+len(number)+len("}") >= erlangColumns-1 {
		out.WriteString("\n" + strings.Repeat(" ", start+1))
	}
	out.WriteString(number + "}")
	return &Error{Code: CodeFrameError, Text: out.String()}
}
