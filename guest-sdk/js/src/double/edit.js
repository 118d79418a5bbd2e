// What the host refuses it throws as a bare sentence, as the bindings do.
import { place } from "./body.js";
import { host } from "./host.js";

function note(name, ...given) {
  const one = host();
  one.seen.edits.push([name, ...given]);
  return one;
}
function change(one, make) {
  const body = one.seen.json();
  if (body === undefined) throw "the body is not JSON";
  one.seen.setJson(make(body) ?? body);
}

export function setModel(model) {
  const one = note("setModel", model);
  one.seen.model = model;
  // Some dialects keep it in the path instead.
  if (one.seen.json()?.model !== undefined) change(one, (body) => { body.model = model; });
}
export function setHeader(name, value) {
  const one = note("setHeader", name, value);
  const low = name.toLowerCase();
  if (["authorization", "x-api-key", "host", "connection"].includes(low)) throw `${low} is the gateway's`;
  one.seen.headers[low] = value;
}
export function removeHeader(name) { delete note("removeHeader", name).seen.headers[name.toLowerCase()]; }
export function setJson(pointer, json) {
  const one = note("setJson", pointer, json);
  change(one, (body) => {
    const value = JSON.parse(json);
    if (pointer === "") return value;
    const [where, last] = place(body, pointer);
    where[last] = value;
    return body;
  });
}
export function removeJson(pointer) {
  change(note("removeJson", pointer), (body) => {
    let where, last;
    try {
      [where, last] = place(body, pointer);
    } catch {
      return body;
    }
    if (Array.isArray(where)) where.splice(last, 1);
    else delete where[last];
    return body;
  });
}
export function prependSystem(text) {
  const one = note("prependSystem", text);
  change(one, (body) => {
    if (one.call.dialect === "anthropic.messages") body.system = body.system ? `${text}\n${body.system}` : text;
    else body.messages = [{ role: "system", content: text }, ...(body.messages ?? [])];
  });
}
export function setMessageText(index, text) {
  change(note("setMessageText", index, text), (body) => {
    const at = body.system === undefined ? index : index - 1;
    if (at < 0) body.system = text;
    else if (body.messages?.[at]) body.messages[at].content = text;
    else throw `there is no message ${index}`;
  });
}
export function replaceBody(body) { note("replaceBody", body).seen.body = body; }
