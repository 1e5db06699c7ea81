// JSON in which integers stay what they are: a long of AMQP has 64 bits, a number of JavaScript 53.

/** An integer that a number would round; it counts as the rounded one, and is written as it came. */
export class Exact extends Number {
  constructor(digits) {
    super(digits);
    this.digits = digits;
  }

  toString() { return this.digits; }

  // Browsers that cannot write it (before 2025) do not tell the digits apart either: none is made there.
  toJSON() { return JSON.rawJSON(this.digits); }
}

const LONG = /\d{16}/;
const kept = (key, value, context) => (typeof value === "number" && !Number.isSafeInteger(value)
  && JSON.rawJSON && /^-?\d+$/.test(context?.source) ? new Exact(context.source) : value);

/** As JSON.parse; what has no long number in it is not looked at twice. */
export const parse = (text) => (LONG.test(text) ? JSON.parse(text, kept) : JSON.parse(text));
