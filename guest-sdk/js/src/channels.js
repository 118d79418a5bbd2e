import * as raw from "#host/channels";

export const name = (channel) => raw.name(channel);
export const provider = (channel) => raw.provider(channel);
export const model = (channel) => raw.model(channel);
export const label = (channel, name) => raw.label(channel, name) ?? undefined;
