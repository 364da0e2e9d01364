// Package protocol turns bytes into AMQP 0-9-1 values and back: frames, methods,
// field tables and content properties, the way RabbitMQ reads and writes them.
// It has no goroutine, no socket and no idea of a broker; it never allocates for
// a length that a peer only claimed. "Spec" in comments is the AMQP 0-9-1
// specification of 2008.
//
// A publish comes in like this:
//
//  1. [ParseFrame] cuts one frame from the buffer the socket was read into, or
//     says that more bytes are needed. The payload is borrowed from that buffer.
//  2. [SplitMethod] gives the [MethodID] and the arguments. For basic.publish a
//     reused [BasicPublish] decodes them without an allocation; for the methods
//     that are not of the hot path [DecodeMethod] does both steps.
//  3. [ParseContentHeader] reads the size of the body, [ParseProperties] checks
//     the property bytes once. [Properties] is then only a view: the bytes that
//     came in are stored, and go out, as they are.
//  4. The payloads of the body frames are the body.
//
// A delivery goes out through [DeliverPrefix.Append], which writes all its frames;
// any other method through [AppendMethodFrame], any other content through
// [AppendContent]. Encoders append to the slice they are given.
//
// What is borrowed is valid as long as the bytes it was decoded from, and is
// marked by its type: []byte, [RawTable], [RawValue], [Properties], [Frame]. A
// string, a [Table] and a [PropertyList] except for its headers are copies.
//
// Errors are refusals: an [*Error] that can go to the client as it is. What only
// a bug of the broker can cause, such as a short string of 256 octets, panics.
package protocol
