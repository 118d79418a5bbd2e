import * as raw from "#host/secrets";

export const get = (name) => raw.get(name) ?? undefined;
