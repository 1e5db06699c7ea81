"""The only room that listens, starts tasks and catches signals.

How it works. `app.BrokerServer` introduces the rooms to each other: it opens the store, lets
the broker recover, then opens the listeners. From then on everything happens in turns of the
event loop. Reads of one turn go to the sessions first; then, once, `turn.Turn` lets the
broker hand messages to consumers, writes each touched connection, and gives the journal to
the store if its writer is free. When the writer is done it comes back into the loop with one
number, the sessions send what waited for it, and the next group starts: groups grow with the
load by themselves, no timer decides.

Whatever goes wrong in one session closes that connection. Whatever goes wrong in the store
stops the process: a commit that failed is "unknown", and nobody may be told otherwise.
"""
