import { host } from "./host.js";

export const complete = (model, messages, maxOutputTokens) => host().models(model, messages, maxOutputTokens);
// The rule of thumb for English: a token is four characters.
export const countTokens = (model, text) => { host(); return Math.ceil([...text].length / 4); };
