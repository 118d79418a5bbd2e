// What a policy author writes against. Read guest-sdk/js/README.md first.
//
// Never here: decisions. Each import of the interface is a module of its own that only policies which
// use it bring along: what a policy uses is what its component imports.
export { Denial, HostError } from "./errors.js";
export { definePolicy } from "./policy.js";
export { attempt, matches, textEvent, usable, window } from "./shapes.js";
export * as settings from "./settings.js";
export * as call from "./call.js";
export * as channels from "./channels.js";
export * as clock from "./clock.js";
export * as edit from "./edit.js";
export * as firewall from "./firewall.js";
export * as http from "./http.js";
export * as log from "./log.js";
export * as metrics from "./metrics.js";
export * as models from "./models.js";
export * as secrets from "./secrets.js";
export * as store from "./store.js";
export { utf8 } from "./utf8.js";
