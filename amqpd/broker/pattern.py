"""Patterns of permissions and policies: regular expressions that cannot run away.

    compile_pattern(text) -> Pattern      PreconditionFailed: what is wrong, and where
    Pattern.text   Pattern.matches(subject) -> bool      anywhere in the subject, unanchored
    Pattern.cost(subject) -> int          about how many steps that takes, at most `STEPS`
    escape(text) -> str                   text that stands for itself, also inside [...]

The language is what RabbitMQ's users write: literals, classes, groups, alternatives, greedy
and lazy quantifiers, anchors, lookahead, `(?i)` in front. What needs backtracking (back
references, lookbehind, possessive and atomic groups) is refused when the pattern is set.

Promises. A match takes at most `STEPS` steps, each of them cheap, whatever the pattern and
the subject; one that needs more does not match, so that a permission is denied. Most patterns
are simple enough for Python's own engine, in which the same bound follows from their form;
all others are walked state by state, each (instruction, position) once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple, NoReturn

from amqpd.errors import PreconditionFailed

PATTERN_BYTES: Final = 1024
#: About 6 ms. RabbitMQ's engine is given 50,000, and is faster; a name of 255 characters and
#: a pattern of 70 states still fit.
STEPS: Final = 20_000
#: Names and routing keys are short strings.
SUBJECT_CHARACTERS: Final = 255
#: Ways through a pattern up to which Python's engine (about 5 ns each) may try them all.
_WAYS: Final = 1 << 18
_DEPTH: Final = 50
_INSTRUCTIONS: Final = 4096
_LAST: Final = 0x10FFFF
_SPECIAL: Final = frozenset("\\^$.|?*+()[]{}-")


def escape(text: str) -> str:
    """The text with a backslash in front of everything that has a meaning in patterns."""
    return "".join(f"\\{each}" if each in _SPECIAL else each for each in text)


# -- what a pattern consists of ----------------------------------------------------------

_Ranges = tuple[tuple[int, int], ...]


class _Character(NamedTuple):
    """One character out of these ranges of code points, sorted and apart."""

    ranges: _Ranges


class _Anchor(NamedTuple):
    """A condition on the position: `^`, `$`, `z`, `b` or `B`."""

    kind: str


class _Sequence(NamedTuple):
    items: tuple[_Node, ...]


class _Choice(NamedTuple):
    options: tuple[_Node, ...]


class _Repeat(NamedTuple):
    item: _Node
    least: int
    most: int | None


class _Lookahead(NamedTuple):
    item: _Node
    negative: bool


_Node = _Character | _Anchor | _Sequence | _Choice | _Repeat | _Lookahead


def _ranges(*ranges: tuple[int, int]) -> _Ranges:
    """Sorted, and joined where they touch."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], high))
        else:
            joined.append((low, high))
    return tuple(joined)


def _others(ranges: _Ranges) -> _Ranges:
    """All characters that are not in the ranges."""
    edges = [-1, *(edge for each in ranges for edge in each), _LAST + 1]
    gaps = zip(edges[::2], edges[1::2], strict=True)
    return tuple((before + 1, after - 1) for before, after in gaps if before + 1 <= after - 1)


def _any_case(ranges: _Ranges) -> _Ranges:
    """With the other case of ASCII letters."""
    more = [*ranges]
    for low, high in ranges:
        for first, last, distance in ((65, 90, 32), (97, 122, -32)):
            if low <= last and high >= first:
                more.append((max(low, first) + distance, min(high, last) + distance))
    return _ranges(*more)


_DIGITS = _ranges((48, 57))
_WORD = _ranges((48, 57), (65, 90), (95, 95), (97, 122))
_SPACES = _ranges((9, 13), (32, 32))
_CLASSES: Final = {
    "d": _DIGITS,
    "D": _others(_DIGITS),
    "w": _WORD,
    "W": _others(_WORD),
    "s": _SPACES,
    "S": _others(_SPACES),
}
_CONTROLS: Final = {"t": 9, "n": 10, "f": 12, "r": 13, "e": 27, "a": 7}
_NOT_NEWLINE = _others(_ranges((10, 10)))
_QUANTIFIERS: Final[dict[str, tuple[int, int | None]]] = {
    "*": (0, None),
    "+": (1, None),
    "?": (0, 1),
}
_COUNTED = re.compile(r"\{([0-9]{1,4})(,([0-9]{1,4})?)?\}")
_GROUP_NAME = re.compile(r"P?<[A-Za-z_][A-Za-z0-9_]{0,31}>|P?'[A-Za-z_][A-Za-z0-9_]{0,31}'")


class _Parser:
    """Reads a pattern, character by character."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._any_case = False

    def parse(self) -> _Node:
        if self._take("(?i)"):
            self._any_case = True
        node = self._choice()
        if self._at < len(self._text):
            self._refuse("')' without '('")
        return node

    def _refuse(self, what: str) -> NoReturn:
        raise PreconditionFailed(f"pattern '{self._text}': {what} at position {self._at}")

    def _take(self, text: str) -> bool:
        """Go on if this is what comes next."""
        if not self._text.startswith(text, self._at):
            return False
        self._at += len(text)
        return True

    def _next(self) -> str:
        if self._at >= len(self._text):
            self._refuse("unexpected end")
        self._at += 1
        return self._text[self._at - 1]

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _choice(self) -> _Node:
        options = [self._sequence()]
        while self._take("|"):
            options.append(self._sequence())
        return options[0] if len(options) == 1 else _Choice(tuple(options))

    def _sequence(self) -> _Node:
        items: list[_Node] = []
        while self._peek() not in ("", "|", ")"):
            items.append(self._quantified())
        return items[0] if len(items) == 1 else _Sequence(tuple(items))

    def _quantified(self) -> _Node:
        if self._peek() in _QUANTIFIERS:
            self._refuse("nothing to repeat")
        item = self._atom()
        bounds = self._bounds()
        if bounds is None:
            return item
        if self._take("+"):
            self._refuse("possessive quantifiers are not supported")
        # Greedy or lazy decides what is found first, not whether anything is found.
        self._take("?")
        if self._bounds() is not None:
            self._refuse("multiple repeat")
        return _Repeat(item, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        """The quantifier here, if there is one; a `{` that begins none is a literal."""
        quantifier = _QUANTIFIERS.get(self._peek())
        if quantifier is not None:
            self._at += 1
            return quantifier
        counted = _COUNTED.match(self._text, self._at)
        if counted is None:
            return None
        self._at = counted.end()
        least = int(counted[1])
        most = least if counted[2] is None else int(counted[3]) if counted[3] else None
        if most is not None and most < least:
            self._refuse("numbers out of order in {}")
        return least, most

    def _atom(self) -> _Node:
        character = self._next()
        if character == "(":
            return self._group()
        if character == "[":
            return self._class()
        if character == "\\":
            return self._escape()
        if character == ".":
            return _Character(_NOT_NEWLINE)
        if character in "^$":
            return _Anchor(character)
        return self._literal(_ranges((ord(character), ord(character))))

    def _literal(self, ranges: _Ranges) -> _Character:
        return _Character(_any_case(ranges) if self._any_case else ranges)

    def _group(self) -> _Node:
        self._depth += 1
        if self._depth > _DEPTH:
            self._refuse("groups are nested too deeply")
        negative = self._take("?!")
        looks = negative or self._take("?=")
        if not looks and not self._take("?:") and self._take("?"):
            name = _GROUP_NAME.match(self._text, self._at)
            if name is None:
                self._refuse("this kind of group is not supported")
            self._at = name.end()
        item = self._choice()
        if not self._take(")"):
            self._refuse("missing ')'")
        self._depth -= 1
        return _Lookahead(item, negative) if looks else item

    def _escape(self) -> _Node:
        letter = self._next()
        if letter in ("b", "B"):
            return _Anchor(letter)
        if letter in ("A", "z"):
            return _Anchor({"A": "^", "z": "z"}[letter])
        return self._literal(self._escaped(letter))

    def _escaped(self, letter: str) -> _Ranges:
        """What a backslash and this letter stand for, outside and inside of a class."""
        if letter in _CLASSES:
            return _CLASSES[letter]
        if letter in _CONTROLS:
            return _ranges((_CONTROLS[letter], _CONTROLS[letter]))
        if letter == "x":
            digits = re.compile("[0-9A-Fa-f]{2}").match(self._text, self._at)
            if digits is None:
                self._refuse("two hexadecimal digits expected")
            self._at += 2
            return _ranges((int(digits[0], 16), int(digits[0], 16)))
        if letter.isascii() and letter.isalnum():
            self._refuse(f"\\{letter} is not supported")
        return _ranges((ord(letter), ord(letter)))

    def _class(self) -> _Node:
        negative = self._take("^")
        members: list[tuple[int, int]] = []
        first = True
        while first or self._peek() != "]":
            first = False
            members += self._member()
        self._at += 1
        ranges = _ranges(*members)
        if self._any_case:
            ranges = _any_case(ranges)
        return _Character(_others(ranges) if negative else ranges)

    def _member(self) -> _Ranges:
        low = self._class_character()
        if self._peek() != "-" or self._text[self._at + 1 : self._at + 2] in ("]", ""):
            return low
        self._at += 1
        high = self._class_character()
        if len(low) != 1 or len(high) != 1 or low[0][0] != low[0][1] or high[0][0] != high[0][1]:
            self._refuse("a class cannot end a range")
        if low[0][0] > high[0][0]:
            self._refuse("range out of order")
        return ((low[0][0], high[0][0]),)

    def _class_character(self) -> _Ranges:
        character = self._next()
        if character == "[" and self._peek() in (":", ".", "="):
            self._refuse("named classes are not supported")
        if character != "\\":
            return _ranges((ord(character), ord(character)))
        letter = self._next()
        return _ranges((8, 8)) if letter == "b" else self._escaped(letter)


# -- how many ways lead through it -------------------------------------------------------


def _ways(node: _Node) -> int:
    """An upper bound on what a backtracking engine may try from one starting position."""
    if isinstance(node, _Sequence):
        return _product(node.items)
    if isinstance(node, _Choice):
        return min(_WAYS + 1, sum(map(_ways, node.options)))
    if isinstance(node, _Lookahead):
        return _ways(node.item)
    if isinstance(node, _Repeat):
        most = SUBJECT_CHARACTERS if node.most is None else node.most
        if isinstance(node.item, _Character):
            return max(1, most - node.least + 1)
        # Each round may go any of its ways: only an optional group stays countable.
        return _ways(node.item) + 1 if most == 1 else _WAYS + 1
    return 1


def _product(items: tuple[_Node, ...]) -> int:
    ways = 1
    for item in items:
        ways = min(_WAYS + 1, ways * _ways(item))
    return ways


def _is_anchored(node: _Node) -> bool:
    """Whether it can match at the start of the subject only."""
    if isinstance(node, _Sequence):
        return bool(node.items) and _is_anchored(node.items[0])
    if isinstance(node, _Choice):
        return all(map(_is_anchored, node.options))
    return node == _Anchor("^")


# -- Python's engine ---------------------------------------------------------------------

#: Python's own \B does not hold in an empty subject before 3.14; RabbitMQ's does.
_PYTHON_ANCHORS: Final = {"^": "^", "$": "$", "z": r"\Z", "b": r"\b", "B": r"(?!\b)"}


def _python(node: _Node) -> str:
    """The same in Python's notation, every character escaped by its number."""
    if isinstance(node, _Character):
        members = [f"\\U{low:08x}-\\U{high:08x}" for low, high in node.ranges]
        return f"[{''.join(members)}]" if members else "(?!)"
    if isinstance(node, _Anchor):
        return _PYTHON_ANCHORS[node.kind]
    if isinstance(node, _Sequence):
        return "".join(map(_python, node.items))
    if isinstance(node, _Choice):
        return f"(?:{'|'.join(map(_python, node.options))})"
    if isinstance(node, _Lookahead):
        return f"(?{'!' if node.negative else '='}{_python(node.item)})"
    most = "" if node.most is None else node.most
    return f"(?:{_python(node.item)}){{{node.least},{most}}}"


# -- our own engine ----------------------------------------------------------------------


class _Instruction(NamedTuple):
    """One state: a character, a condition, a fork, or (nothing of it) the end."""

    then: tuple[int, ...]
    ranges: _Ranges | None = None
    anchor: str = ""
    look: int = -1
    negative: bool = False


_END: Final = _Instruction(())


class _Exhausted(Exception):
    """The steps are used up."""


class _Machine:
    """A pattern as states; a match is a walk over (state, position), each visited once."""

    def __init__(self, node: _Node, text: str) -> None:
        self._text = text
        self._program: list[_Instruction] = [_END]
        self._start = self._compile(node, 0)

    def _add(self, instruction: _Instruction) -> int:
        if len(self._program) >= _INSTRUCTIONS:
            raise PreconditionFailed(f"pattern '{self._text}': too many repetitions")
        self._program.append(instruction)
        return len(self._program) - 1

    def _compile(self, node: _Node, then: int) -> int:
        """The state that matches `node` and goes on with `then`."""
        if isinstance(node, _Character):
            return self._add(_Instruction((then,), ranges=node.ranges))
        if isinstance(node, _Anchor):
            return self._add(_Instruction((then,), anchor=node.kind))
        if isinstance(node, _Lookahead):
            look = self._compile(node.item, 0)
            return self._add(_Instruction((then,), look=look, negative=node.negative))
        if isinstance(node, _Choice):
            options = [self._compile(each, then) for each in node.options]
            return self._add(_Instruction(tuple(options)))
        if isinstance(node, _Sequence):
            for each in reversed(node.items):
                then = self._compile(each, then)
            return then
        return self._repeat(node, then)

    def _repeat(self, node: _Repeat, then: int) -> int:
        after = then
        if node.most is None:
            fork = self._add(_END)
            self._program[fork] = _Instruction((self._compile(node.item, fork), after))
            then = fork
        for _ in range((node.most or 0) - node.least):
            then = self._add(_Instruction((self._compile(node.item, then), after)))
        for _ in range(node.least):
            once_more = self._compile(node.item, then)
            if once_more == then:  # an item that is empty, however often
                break
            then = once_more
        return then

    @property
    def states(self) -> int:
        """How many there are."""
        return len(self._program)

    def matches(self, subject: str) -> bool:
        walk = _Walk(self._program, subject)
        try:
            return any(walk.reaches_end(self._start, at) for at in range(len(subject) + 1))
        except _Exhausted:
            return False


class _Walk:
    """One subject on its way through the states; a place is a state and a position in one."""

    def __init__(self, program: list[_Instruction], subject: str) -> None:
        self._program = program
        self._subject = subject
        self._codes = [ord(character) for character in subject]
        self._width = len(subject) + 1
        self._steps = STEPS
        self._seen: set[int] = set()

    def reaches_end(self, state: int, at: int) -> bool:
        """Whether the end can be reached from here by places that were not seen yet."""
        return self._reaches_end(state, at, self._seen)

    def _reaches_end(self, state: int, at: int, seen: set[int]) -> bool:
        program, codes, width = self._program, self._codes, self._width
        waiting = [state * width + at]
        while waiting:
            place = waiting.pop()
            if place in seen:
                continue
            seen.add(place)
            self._steps -= 1
            if not self._steps:
                raise _Exhausted
            state, at = divmod(place, width)
            instruction = program[state]
            ranges = instruction.ranges
            if ranges is not None:
                if at < width - 1 and _contains(ranges, codes[at]):
                    waiting.append(instruction.then[0] * width + at + 1)
            elif instruction is _END:
                return True
            elif self._holds(instruction, at):
                waiting += [then * width + at for then in instruction.then]
        return False

    def _holds(self, instruction: _Instruction, at: int) -> bool:
        if instruction.look >= 0:
            found = self._reaches_end(instruction.look, at, set())
            return found is not instruction.negative
        return not instruction.anchor or _anchor_holds(instruction.anchor, at, self._subject)


def _contains(ranges: _Ranges, code: int) -> bool:
    for low, high in ranges:  # noqa: SIM110 - a generator takes three times as long
        if low <= code <= high:
            return True
    return False


def _anchor_holds(kind: str, at: int, subject: str) -> bool:
    if kind == "^":
        return at == 0
    if kind == "z":
        return at == len(subject)
    if kind == "$":
        return at == len(subject) or (at == len(subject) - 1 and subject[at] == "\n")
    before = at > 0 and _contains(_WORD, ord(subject[at - 1]))
    after = at < len(subject) and _contains(_WORD, ord(subject[at]))
    return (before != after) == (kind == "b")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern; make one with `compile_pattern`."""

    text: str
    _engine: re.Pattern[str] | _Machine

    def matches(self, subject: str) -> bool:
        """Whether the pattern occurs in the subject; never for an overlong subject."""
        if len(subject) > SUBJECT_CHARACTERS:
            return False
        if isinstance(self._engine, _Machine):
            return self._engine.matches(subject)
        return self._engine.search(subject) is not None

    def cost(self, subject: str) -> int:
        """About how many steps `matches` may take; a simple pattern counts as one."""
        if isinstance(self._engine, _Machine):
            return min(STEPS, self._engine.states * (len(subject) + 1))
        return 1


@lru_cache(maxsize=4096)
def compile_pattern(text: str) -> Pattern:
    """A pattern ready to match.

    Raises:
        PreconditionFailed: it is too long, not a regular expression, or not supported.
    """
    if len(text.encode(errors="surrogatepass")) > PATTERN_BYTES:
        raise PreconditionFailed(f"pattern is longer than {PATTERN_BYTES} bytes")
    node = _Parser(text).parse()
    starts = 1 if _is_anchored(node) else SUBJECT_CHARACTERS
    if _ways(node) * starts <= _WAYS:
        return Pattern(text, re.compile(_python(node), re.ASCII))
    return Pattern(text, _Machine(node, text))
