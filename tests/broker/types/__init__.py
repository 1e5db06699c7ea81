"""The exchange types beyond the four that AMQP has, each by its own rules."""
