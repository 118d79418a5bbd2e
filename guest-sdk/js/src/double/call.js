import { find } from "./body.js";
import { host } from "./host.js";

export const id = () => host().call.id;
export const dialect = () => host().call.dialect;
export const method = () => host().call.method;
export const path = () => host().call.path;
export const query = () => host().call.query;
export const tenant = () => host().call.tenant;
export const key = () => host().call.key;
export const clientIp = () => host().call.clientIp;
export const remember = (forMs) => { host().seen.rememberMs = forMs; };
export const label = (name) => host().call.labels[name];
export const header = (name) => host().seen.headers[name.toLowerCase()];
export const headers = () => Object.entries(host().seen.headers);
export const json = (pointer) => {
  const { found, value } = find(host().seen.json(), pointer);
  return found ? JSON.stringify(value) : undefined;
};
export const body = () => host().seen.body;

const textOf = (content) => {
  if (Array.isArray(content)) return content.filter((part) => typeof part.text === "string").map((part) => part.text).join("\n");
  return typeof content === "string" ? content : "";
};
export const messages = () => {
  const body = host().seen.json() ?? {};
  const system = body.system === undefined ? [] : [{ role: "system", content: body.system }];
  return [...system, ...(body.messages ?? [])].map((one) => ({ role: one.role ?? "", text: textOf(one.content) }));
};
