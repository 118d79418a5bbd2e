import { host } from "./host.js";

export const ban = (ip, forMs, reason) => { host().seen.bans.push({ ip, forMs, reason }); };
