import * as raw from "#host/log";

export const trace = (message) => raw.write("trace", String(message));
export const debug = (message) => raw.write("debug", String(message));
export const info = (message) => raw.write("info", String(message));
export const warn = (message) => raw.write("warn", String(message));
export const error = (message) => raw.write("error", String(message));
