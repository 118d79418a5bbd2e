// Changes to the request, from `rewrite` only. What the host refuses is thrown as HostError.
import * as raw from "#host/edit";
import { asked } from "./errors.js";

export const setModel = (model) => asked(() => raw.setModel(model));
export const setHeader = (name, value) => asked(() => raw.setHeader(name, value));
export const removeHeader = (name) => asked(() => raw.removeHeader(name));
export const setJson = (pointer, value) => asked(() => raw.setJson(pointer, JSON.stringify(value)));
export const removeJson = (pointer) => asked(() => raw.removeJson(pointer));
export const prependSystem = (text) => asked(() => raw.prependSystem(text));
export const setMessageText = (index, text) => asked(() => raw.setMessageText(index, text));
export const replaceBody = (body) => asked(() => raw.replaceBody(body));
