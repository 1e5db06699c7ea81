"""Tests of the room `broker`: the model itself, without I/O, clocks and threads."""
