"""Load that is held: many connections, channels, queues and bindings, and what is left of them."""
