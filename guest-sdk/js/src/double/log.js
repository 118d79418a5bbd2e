import { host } from "./host.js";

export const write = (level, message) => { host().seen.logs.push([level, message]); };
