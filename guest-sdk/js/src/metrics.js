import * as raw from "#host/metrics";

export const count = (name, by = 1, labels = {}) => raw.count(name, by, Object.entries(labels));
export const observe = (name, value, labels = {}) => raw.observe(name, value, Object.entries(labels));
