"""Tests of `amqpd/cli`, over real sockets and real processes."""
