// From a policy's configuration to a typed value, with errors that name the setting.
//
// A schema is an object with `read(value, path, errors)`, `absent` (what a missing setting is, where
// that is allowed) and the methods below.

class Schema {
  constructor(read, absent) { this.read = read; this.absent = absent; }
  /** What the setting is where it is not there. */
  default(value) { return new Schema(this.read, () => value); }
  /** May be left out; it is undefined then. */
  optional() { return new Schema(this.read, () => undefined); }
  /** Turns the value into another; what `change` throws is the error. */
  map(change) {
    return new Schema((value, path, errors) => {
      const before = errors.length;
      const made = this.read(value, path, errors);
      if (errors.length > before) return undefined;
      try {
        return change(made);
      } catch (error) {
        errors.push(path ? `${path}: ${error.message}` : error.message);
        return undefined;
      }
    }, this.absent && (() => change(this.absent())));
  }
}

const wrong = (errors, path, expected, value) => {
  const shown = JSON.stringify(value) ?? String(value);
  errors.push(`${path || "the configuration"}: must be ${expected}, not ${shown.length > 60 ? `${shown.slice(0, 57)}...` : shown}`);
};
const plain = (fits, expected) => new Schema((value, path, errors) => {
  if (!fits(value)) wrong(errors, path, expected, value);
  return value;
});
const within = ({ min = -Infinity, max = Infinity } = {}) =>
  (min > -Infinity ? ` from ${min}` : "") + (max < Infinity ? `${min > -Infinity ? "" : " up"} to ${max}` : "");
const fits = (value, { min = -Infinity, max = Infinity } = {}) => value >= min && value <= max;

export const boolean = () => plain((value) => typeof value === "boolean", "true or false");
export const text = () => plain((value) => typeof value === "string", "text");
export const number = (bounds) => plain((value) => typeof value === "number" && fits(value, bounds), `a number${within(bounds)}`);
export const integer = (bounds) => plain((value) => Number.isSafeInteger(value) && fits(value, bounds), `an integer${within(bounds)}`);
export const oneOf = (...values) => plain((value) => values.includes(value), `one of ${values.join(", ")}`);
export const any = () => plain(() => true, "anything");

export const list = (item) => new Schema((value, path, errors) => {
  if (!Array.isArray(value)) return wrong(errors, path, "a list", value);
  return value.map((one, at) => item.read(one, `${path}[${at}]`, errors));
});

const isTable = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const under = (path, name) => (path ? `${path}.${name}` : name);

/** A table of any names. */
export const map = (item) => new Schema((value, path, errors) => {
  if (!isTable(value)) return wrong(errors, path, "a table", value);
  return new Map(Object.entries(value).map(([name, one]) => [name, item.read(one, under(path, name), errors)]));
});

/** A table of these names and no others. */
export const object = (fields) => new Schema((value, path, errors) => {
  if (!isTable(value)) return wrong(errors, path, "a table", value);
  for (const name of Object.keys(value)) {
    if (!Object.hasOwn(fields, name)) errors.push(`${under(path, name)}: no such setting; ${hint(name, Object.keys(fields))}`);
  }
  const made = {};
  for (const [name, schema] of Object.entries(fields)) {
    if (Object.hasOwn(value, name)) made[name] = schema.read(value[name], under(path, name), errors);
    else if (schema.absent) made[name] = schema.absent();
    else errors.push(`${under(path, name)}: must be set`);
  }
  return made;
});

function hint(name, known) {
  const near = known.map((one) => [distance(name, one), one]).sort((a, b) => a[0] - b[0])[0];
  return near && near[0] <= 2 ? `did you mean \`${near[1]}\`?` : `there are: ${known.join(", ") || "none"}`;
}

function distance(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length];
}

/** Reads JSON text; nothing at all counts as an empty object. */
export function parse(schema, json) {
  let value;
  try {
    value = json.trim() === "" ? {} : JSON.parse(json);
  } catch (error) {
    return { errors: [`not JSON: ${error.message}`] };
  }
  const errors = [];
  const made = (schema ?? object({})).read(value, "", errors);
  return errors.length ? { errors } : { value: made, errors };
}
