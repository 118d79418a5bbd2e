import { host } from "./host.js";

const of = (channel) => host().channels[channel - 1];
export const name = (channel) => of(channel)?.name ?? "";
export const provider = (channel) => of(channel)?.provider ?? "";
export const model = (channel) => {
  const found = of(channel);
  return found ? found.model ?? host().seen.model : "";
};
export const label = (channel, name) => of(channel)?.labels?.[name];
