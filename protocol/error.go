package protocol

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Error is a refusal that goes to the client as channel.close or connection.close.
type Error struct {
	// Code is one of the Code constants.
	Code uint16
	// Text explains, without the name of the code; it may be empty.
	Text string
	// Method is the method that failed, for the class-id and method-id of the
	// close. Errors of this package carry it where the close has to show it,
	// and 0 where RabbitMQ shows none.
	Method MethodID
}

// The reply codes (spec 1.2).
const (
	CodeReplySuccess       uint16 = 200
	CodeContentTooLarge    uint16 = 311
	CodeNoRoute            uint16 = 312
	CodeNoConsumers        uint16 = 313
	CodeConnectionForced   uint16 = 320
	CodeInvalidPath        uint16 = 402
	CodeAccessRefused      uint16 = 403
	CodeNotFound           uint16 = 404
	CodeResourceLocked     uint16 = 405
	CodePreconditionFailed uint16 = 406
	CodeFrameError         uint16 = 501
	CodeSyntaxError        uint16 = 502
	CodeCommandInvalid     uint16 = 503
	CodeChannelError       uint16 = 504
	CodeUnexpectedFrame    uint16 = 505
	CodeResourceError      uint16 = 506
	CodeNotAllowed         uint16 = 530
	CodeNotImplemented     uint16 = 540
	CodeInternalError      uint16 = 541
)

var codeNames = map[uint16]string{
	CodeReplySuccess:       "REPLY_SUCCESS",
	CodeContentTooLarge:    "CONTENT_TOO_LARGE",
	CodeNoRoute:            "NO_ROUTE",
	CodeNoConsumers:        "NO_CONSUMERS",
	CodeConnectionForced:   "CONNECTION_FORCED",
	CodeInvalidPath:        "INVALID_PATH",
	CodeAccessRefused:      "ACCESS_REFUSED",
	CodeNotFound:           "NOT_FOUND",
	CodeResourceLocked:     "RESOURCE_LOCKED",
	CodePreconditionFailed: "PRECONDITION_FAILED",
	CodeFrameError:         "FRAME_ERROR",
	CodeSyntaxError:        "SYNTAX_ERROR",
	CodeCommandInvalid:     "COMMAND_INVALID",
	CodeChannelError:       "CHANNEL_ERROR",
	CodeUnexpectedFrame:    "UNEXPECTED_FRAME",
	CodeResourceError:      "RESOURCE_ERROR",
	CodeNotAllowed:         "NOT_ALLOWED",
	CodeNotImplemented:     "NOT_IMPLEMENTED",
	CodeInternalError:      "INTERNAL_ERROR",
}

// ErrUnknownMethod is for errors.Is: what [DecodeMethod] returns for an id that
// AMQP does not have. RabbitMQ drops the connection; a close is kinder.
var ErrUnknownMethod = &Error{Code: CodeCommandInvalid, Text: "unknown method"}

// Errorf makes a refusal with a formatted text.
func Errorf(code uint16, format string, args ...any) *Error {
	return &Error{Code: code, Text: fmt.Sprintf(format, args...)}
}

// AccessRefused makes a 403: the user may not do it.
func AccessRefused(format string, args ...any) *Error {
	return Errorf(CodeAccessRefused, format, args...)
}

// NotFound makes a 404: no such queue, exchange or consumer.
func NotFound(format string, args ...any) *Error {
	return Errorf(CodeNotFound, format, args...)
}

// ResourceLocked makes a 405: it belongs to another connection.
func ResourceLocked(format string, args ...any) *Error {
	return Errorf(CodeResourceLocked, format, args...)
}

// PreconditionFailed makes a 406: arguments that do not fit what exists.
func PreconditionFailed(format string, args ...any) *Error {
	return Errorf(CodePreconditionFailed, format, args...)
}

// Name returns the upper-case name of a reply code, or "UNKNOWN".
func Name(code uint16) string {
	if name, ok := codeNames[code]; ok {
		return name
	}
	return "UNKNOWN"
}

// Error returns the code and the reply text.
func (e *Error) Error() string {
	return fmt.Sprintf("%d %s", e.Code, e.ReplyText())
}

// Is says whether target is the same refusal, of whichever method.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.Text == e.Text
}

// Hard says whether the refusal ends the connection; a soft one ends only the
// channel (spec 4.8). On channel 0 every refusal ends the connection: that is
// for the caller to see to.
func (e *Error) Hard() bool {
	switch e.Code {
	case CodeContentTooLarge, CodeNoRoute, CodeNoConsumers,
		CodeAccessRefused, CodeNotFound, CodeResourceLocked, CodePreconditionFailed:
		return false
	}
	return true
}

// ReplyText returns the reply-text of the close: "NAME - text", or the name
// alone if there is no text. What is longer than a shortstr ends in "...", and
// what is not UTF-8, such as a header value that is quoted, has "?" for it.
func (e *Error) ReplyText() string {
	text := Name(e.Code)
	if e.Text != "" {
		text += " - " + strings.ToValidUTF8(e.Text, "?")
	}
	if len(text) <= shortstrMax {
		return text
	}
	cut := shortstrMax - len("...")
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "..."
}

// bug panics: something happened that only a mistake in the broker can cause.
func bug(format string, args ...any) {
	panic("protocol: " + fmt.Sprintf(format, args...))
}
