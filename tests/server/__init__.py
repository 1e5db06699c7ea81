"""Tests of `amqpd/server`, over real sockets and real processes."""
