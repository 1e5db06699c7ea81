"""Topic matching: binding keys of words, in a trie.

    words(key) -> list[str]
    hash_wildcards(key) -> int          how many words are `#`
    TopicTrie: add(key, destination) remove(key, destination) match(key) -> list[Destination]

Words are separated by dots; `*` stands for exactly one word and `#` for any number of words,
none included. Empty words count, but the empty key has no words at all (RabbitMQ).

Promises. A binding whose literal words differ from the key's is never looked at. The work is
bounded by (nodes of the trie that a prefix of the key can reach) times (words of the key),
whatever the wildcards: no recursion, no backtracking. A key has at most 128 words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amqpd.broker.binding import Destination

STAR = "*"
HASH = "#"


def words(key: str) -> list[str]:
    """The words of a routing or binding key."""
    return key.split(".") if key else []


def hash_wildcards(key: str) -> int:
    """How many of the words are `#`."""
    return words(key).count(HASH)


def _normal(key: str) -> list[str]:
    """The words of a binding key with every run of wildcards in one form: stars, then a hash.

    `#.*`, `*.#` and `#.*.#` match the same keys. One form for all keeps the trie small, and
    no `#` ever follows a `#`, on which `match` relies.
    """
    path: list[str] = []
    pending = False
    for word in words(key):
        if word == HASH:
            pending = True
            continue
        if pending and word != STAR:
            path.append(HASH)
            pending = False
        path.append(word)
    if pending:
        path.append(HASH)
    return path


class _Node:
    """A place in the trie: what comes next, and who is bound here."""

    __slots__ = ("bound", "hash", "star", "words")

    def __init__(self) -> None:
        self.words: dict[str, _Node] = {}
        self.star: _Node | None = None
        self.hash: _Node | None = None
        #: How many bindings of this key lead there (they differ in their arguments).
        self.bound: dict[Destination, int] = {}

    def step(self, word: str) -> _Node:
        """The node one word further, made if it is missing."""
        if word == HASH:
            if self.hash is None:
                self.hash = _Node()
            return self.hash
        if word == STAR:
            if self.star is None:
                self.star = _Node()
            return self.star
        node = self.words.get(word)
        if node is None:
            node = self.words[word] = _Node()
        return node

    def cut(self, word: str) -> None:
        """Remove what follows by this word."""
        if word == HASH:
            self.hash = None
        elif word == STAR:
            self.star = None
        else:
            del self.words[word]

    @property
    def is_empty(self) -> bool:
        return not (self.words or self.star or self.hash or self.bound)


class TopicTrie:
    """The binding keys of one topic exchange."""

    __slots__ = ("_root",)

    def __init__(self) -> None:
        self._root = _Node()

    def add(self, key: str, destination: Destination) -> None:
        """Bind; the same key and destination may be added several times."""
        node = self._root
        for word in _normal(key):
            node = node.step(word)
        node.bound[destination] = node.bound.get(destination, 0) + 1

    def remove(self, key: str, destination: Destination) -> None:
        """Undo one `add` of this key and destination, which must have been made."""
        path = _normal(key)
        nodes = [self._root]
        for word in path:
            nodes.append(nodes[-1].step(word))
        bound = nodes[-1].bound
        bound[destination] -= 1
        if not bound[destination]:
            del bound[destination]
        while path and nodes.pop().is_empty:
            nodes[-1].cut(path.pop())

    def match(self, key: str) -> list[Destination]:
        """Where a message with this routing key goes; may name a destination twice."""
        # Which nodes does the part of the key read so far lead to? A `#` node, once reached,
        # stays reached whatever follows, so `open_ended` only grows. Every other node has one
        # way in and is met once per word.
        root = self._root
        reached = [root]
        open_ended: list[_Node] = []
        seen: set[_Node] = set()
        if root.hash is not None:
            open_ended.append(root.hash)
            seen.add(root.hash)
        for word in words(key):
            further: list[_Node] = []
            for nodes in (reached, open_ended):
                for node in nodes:
                    following = node.words.get(word)
                    if following is not None:
                        further.append(following)
                    if node.star is not None:
                        further.append(node.star)
            for node in further:
                if node.hash is not None and node.hash not in seen:
                    seen.add(node.hash)
                    open_ended.append(node.hash)
            reached = further
            if not reached and not open_ended:
                return []
        found: list[Destination] = []
        for node in reached:
            found += node.bound
        for node in open_ended:
            found += node.bound
        return found
