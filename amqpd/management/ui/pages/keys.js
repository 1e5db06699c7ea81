// Keys of policies, and the arguments of queues of the same meaning: what each is, and for what.

/**
 * `of`: what knows the key (C classic, Q quorum, S stream, E exchange); `operator`: operator policies
 * may have it; `first`: a value to begin with; `kind`: ms, bytes, number, text, or the words there are.
 */
export const KEYS = [
  { key: "message-ttl", kind: "ms", first: 60000, of: "CQ", operator: true, means: "messages expire after this time" },
  { key: "expires", kind: "ms", first: 1800000, of: "CQ", operator: true, means: "the queue goes after this time without use" },
  { key: "max-length", kind: "number", first: 10000, of: "CQ", operator: true, means: "so many ready messages at most" },
  { key: "max-length-bytes", kind: "bytes", first: 1000000000, of: "CQS", operator: true, means: "so many bytes of bodies at most" },
  { key: "overflow", kind: ["drop-head", "reject-publish", "reject-publish-dlx", "block"], first: "reject-publish", of: "CQ",
    operator: true, means: "what happens when it is full" },
  { key: "overflow-victim", kind: ["head", "lowest-priority"], first: "lowest-priority", of: "CQ", operator: true,
    means: "which message is dropped when it is full" },
  { key: "flow-resume", kind: "number", first: 80, of: "CQ", operator: true, means: "with overflow block: publishers go on below so many percent" },
  { key: "dead-letter-exchange", kind: "text", first: "", of: "CQ", means: "where dead letters go; empty: the default exchange" },
  { key: "dead-letter-routing-key", kind: "text", first: "", of: "CQ", means: "their routing key, instead of their own" },
  { key: "dead-letter-strategy", kind: ["at-most-once", "at-least-once"], first: "at-least-once", of: "CQ",
    means: "whether dead letters are kept until they have arrived" },
  { key: "delivery-limit", kind: "number", first: 20, of: "CQ", operator: true, means: "dead after so many attempts; below 0: never" },
  { key: "consumer-timeout", kind: "ms", first: 1800000, of: "CQ", means: "a consumer must acknowledge within this time" },
  { key: "consumer-timeout-reset", kind: ["never", "ack"], first: "ack", of: "CQ", means: "whether each acknowledgement begins that time anew" },
  { key: "consumer-disconnected-timeout", kind: "ms", first: 60000, of: "CQ", means: "messages of a lost consumer return after this time" },
  { key: "delayed-retry-type", kind: ["disabled", "all", "failed", "returned"], first: "failed", of: "CQ", operator: true,
    means: "which messages wait before they are delivered again" },
  { key: "delayed-retry-min", kind: "ms", first: 1000, of: "CQ", operator: true, means: "how long before the second attempt" },
  { key: "delayed-retry-max", kind: "ms", first: 600000, of: "CQ", operator: true, means: "how long at most" },
  { key: "delayed-retry-multiplier", kind: "number", first: 2, of: "CQ", operator: true, means: "how much longer each time" },
  { key: "delayed-retry-jitter", kind: "number", first: 0.2, of: "CQ", operator: true, means: "which part of it is left to chance: 0 to 1" },
  { key: "delayed-retry-levels", kind: "text", first: "1s 5s 30s 10m", of: "CQ", operator: true, means: "the delay of each attempt, instead" },
  { key: "max-age", kind: "text", first: "7D", of: "S", means: "older messages go: Y, M, D, h, m, s" },
  { key: "stream-max-segment-size-bytes", kind: "bytes", first: 100000000, of: "S", means: "what of a stream goes at once" },
  { key: "stream-filter-size-bytes", kind: "number", first: 16, of: "S", means: "size of its filters: 16 to 255" },
  { key: "alternate-exchange", kind: "text", first: "", of: "E", means: "of an exchange: where messages go that no binding wants" },
];

/** What a policy is for, by `apply-to`. */
export const APPLIES = {
  all: "CQSE", queues: "CQS", classic_queues: "C", quorum_queues: "Q", streams: "S", exchanges: "E",
};
const NAMES = { C: "classic", Q: "quorum", S: "stream" };

/** Arguments that only a declaration has. */
const DECLARED = [
  ["x-max-priority", 10, "priorities from 0 to this", "classic"],
  ["x-single-active-consumer", true, "one consumer at a time", "classic quorum"],
];

/** Arguments of queues with a value to begin with: [name, value, what it means, types it is for]. */
export const QUEUE_ARGUMENTS = [
  ...KEYS.filter((one) => one.of !== "E").map((one) => [`x-${one.key}`, one.first,
    Array.isArray(one.kind) ? `${one.means}: ${one.kind.join(", ")}` : one.kind === "ms" ? `${one.means} (ms)` : one.means,
    [...one.of].map((letter) => NAMES[letter]).join(" ")]),
  ...DECLARED,
];
