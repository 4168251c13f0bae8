// How figures are written. Money comes as text and stays exact: it is rounded as a whole number, never as a float.

const plain = new Intl.NumberFormat("en");

/** A count with thousands separators. */
export const count = (value) => plain.format(value);

/** Dollars ("0.012300000000") to so many digits, rounded half up; what rounds to nothing is "<0.0001". */
export function money(text, digits) {
  if (text === null || text === undefined) return "\u2013";
  const negative = text.startsWith("-");
  const [whole, fraction = ""] = text.replace("-", "").split(".");
  const exact = BigInt(whole + fraction.padEnd(12, "0").slice(0, 12));
  const unit = 10n ** BigInt(12 - digits);
  const rounded = (exact + unit / 2n) / unit;
  if (exact > 0n && rounded === 0n) return `${negative ? ">\u2212" : "<"}0.${"1".padStart(digits, "0")}`;
  const figures = rounded.toString().padStart(digits + 1, "0");
  const dollars = plain.format(BigInt(figures.slice(0, -digits)));
  return `${negative ? "\u2212" : ""}${dollars}.${figures.slice(-digits)}`;
}

/** "12 s ago", by the server's own clock. */
export function ago(then, now) {
  if (!then || !now) return "\u2013";
  const seconds = Math.max(0, Math.round((Date.parse(now) - Date.parse(then)) / 1000));
  return `${span(seconds)} ago`;
}

/** Seconds as "12 s", "3 min", "5 h" or "2 d". */
export function span(seconds) {
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 36 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

/** Microseconds as "143 ms" or "1.84 s". */
export function took(micros) {
  if (micros === null || micros === undefined) return "\u2013";
  const size = Math.abs(micros);
  if (size < 1000) return `${micros} \u00b5s`;
  if (size < 1_000_000) return `${Math.round(micros / 1000)} ms`;
  if (size < 90_000_000) return `${(micros / 1e6).toFixed(2)} s`;
  return span(Math.round(micros / 1e6));
}

/** "by rule runaway-spend" or "by cli:ana". */
export const actor = (who) => (who.startsWith("rule:") ? `by rule ${who.slice(5)}` : `by ${who}`);

/** "agent triage", "everything". */
export const whom = (scope, target) => (scope === "global" ? "everything" : `${scope} ${target}`);

/** What a state allows: "6 calls a minute", "economy tier, read only". */
export function allows(parameters) {
  const parts = [];
  if (parameters.calls_per_minute) parts.push(`${parameters.calls_per_minute} calls a minute`);
  if (parameters.tier) parts.push(`${parameters.tier} tier`);
  if (parameters.read_only) parts.push("read only");
  if (parameters.plan_depth !== null && parameters.plan_depth !== undefined) parts.push(`plans of ${parameters.plan_depth}`);
  return parts.join(", ");
}
