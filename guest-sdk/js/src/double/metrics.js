import { host } from "./host.js";

export const observe = (name, value, labels) => { host().seen.metrics.push({ name, value, labels: Object.fromEntries(labels) }); };
export const count = observe;
