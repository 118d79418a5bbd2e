import { host } from "./host.js";

export const send = (request) => host().http(request);
