import { host } from "./host.js";

export const nowMs = () => host().nowMs;
