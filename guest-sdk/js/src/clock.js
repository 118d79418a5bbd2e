import * as raw from "#host/clock";

export const nowMs = () => Number(raw.nowMs());
export const now = () => new Date(nowMs());
