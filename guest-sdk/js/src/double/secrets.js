import { host } from "./host.js";

export const get = (name) => host().secrets[name];
