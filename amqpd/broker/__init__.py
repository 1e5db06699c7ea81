"""The model: vhosts, exchanges, queues, messages, permissions. No I/O, no clock, no threads.

How it works. Everything that clients can see is decided here, at once and in memory. What
must survive a crash is written down in the journal at the moment it is decided; the store
takes the journal whole, commits it as a group, and answers with one number: everything up
to it is safe. Confirms, declare-ok and tx.commit-ok all wait for that number and for
nothing else.

The core has three openings and no other:

- the **journal** (out): decisions that are not on disk yet,
- the **consumer** (out): anything with credit and a place to put messages,
- the **refill** (out and back): a queue that holds more than its memory window asks for
  its next stretch.

Time enters by `Broker.tick(now_ms)`, the machine's state by `Broker.resources(...)`,
clients by sessions. The core never waits.

Messages travel in runs: the contents of one read that go to the same queues. A run is one
object, whatever the number of messages in it, and a lane (one priority level of a queue)
holds stretches of runs. Nothing is allocated per message on the way through.
"""
