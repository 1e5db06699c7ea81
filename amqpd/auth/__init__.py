"""Authentication: who is at the other end of a connection.

How it works. A session receives a SASL response and asks the server to authenticate it; the
server calls `Chain.login` in a thread, because checking a password takes time on purpose.
The chain asks its backends in their order until one accepts; what a connection may do
afterwards is the model's business (`broker/permissions.py`), asked again at every operation.

- `passwords`: hashes as RabbitMQ stores them,
- `internal`: the users of the broker itself,
- `certificate`: the user name in a client's certificate, for EXTERNAL,
- `chain`: the order of backends, and the memory of recent successes.

Nothing here reads a clock or the model's insides: time and users come in as arguments, and
all calls may block. Why a login was refused is for the log; the client is told one text for
all causes.
"""
