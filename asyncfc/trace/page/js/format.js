// Numbers and times as people read them.

const NARROW = "\u00a0"; // no line break between a number and its unit

/** @param {number} value @returns {string} three significant digits, no needless zeros */
function digits(value) {
  return String(Number(value.toPrecision(3)));
}

/** @param {number} value @returns {string} */
function two(value) {
  return String(value).padStart(2, "0");
}

/** @param {number} seconds @returns {string} e.g. 12 µs, 340 ms, 1.25 s, 3 min 05 s, 2 h 10 min */
function duration(seconds) {
  const size = Math.abs(seconds);
  if (size < 5e-10) return `0${NARROW}s`;
  if (size < 0.9995e-3) return digits(seconds * 1e6) + NARROW + "µs";
  if (size < 0.9995) return digits(seconds * 1e3) + NARROW + "ms";
  if (size < 59.95) return digits(seconds) + NARROW + "s";
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)}${NARROW}min${NARROW}${two(whole % 60)}${NARROW}s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)}${NARROW}h${NARROW}${two(minutes % 60)}${NARROW}min`;
}

/**
 * @param {number} t seconds since the first event
 * @param {number} step what must be told apart, in seconds
 * @param {number} most the greatest time in sight, which decides the unit
 * @returns {string} e.g. 250 ms, 1.25 s, 2:30, 1:05:00
 */
function clock(t, step, most) {
  const [unit, name] = most < 1e-3 ? [1e-6, "µs"] : most < 1 ? [1e-3, "ms"] : [1, "s"];
  const places = Math.max(0, Math.min(9, Math.ceil(-Math.log10(step / unit) - 1e-9)));
  if (most < 60) return (t / unit).toFixed(places) + NARROW + name;
  const sign = t < 0 ? "−" : "";
  const ticks = Math.abs(Number(t.toFixed(places)));
  const rest = (ticks % 60).toFixed(places).padStart(places ? places + 3 : 2, "0");
  const minutes = Math.floor(ticks / 60);
  if (most < 3600) return `${sign}${minutes}:${rest}`;
  return `${sign}${Math.floor(minutes / 60)}:${two(minutes % 60)}:${rest}`;
}

/** @param {number} count @param {string} one @param {string} [many] @returns {string} */
function counted(count, one, many = one + "s") {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

/** @param {string|null} text @returns {string} JSON with line breaks, or the text itself */
function pretty(text) {
  if (text === null || text === undefined) return "";
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null ? JSON.stringify(value, null, 2) : text;
  } catch {
    return text; // cut, or no JSON
  }
}
