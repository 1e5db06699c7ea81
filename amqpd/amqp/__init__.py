"""AMQP 0-9-1, sans-I/O: bytes in, bytes out.

How it works. The server gives a `Connection` what it read and writes what the connection has
to send; time comes in by `tick`. The codec parses a whole read before anything else is looked
at: publishes are gathered per channel and set of queues, acknowledgements into ranges, and
both reach the connection as single calls. Every other method goes through a table: the
connection's phase says what is allowed on channel 0, `channel.METHODS` what a channel answers.

Two kinds of answers wait for the disk. **Replies** (declare-ok, tx.commit-ok, …) queue up per
channel in the order of their methods; while one waits, deliveries of its channel pause, so
that nothing overtakes it. **Confirms** wait for the journal's number and go out as one
`multiple` per channel. Methods themselves never wait: clients may pipeline.

Errors are raised where they are found and translated at one door, `Connection._refuse`: a
`ChannelError` closes the channel, a `SessionError` the connection, anything else is our bug
and becomes 541.
"""
