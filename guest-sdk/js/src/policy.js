// A policy is an object with the hooks that it needs; those that it has are exported.

/** Each hook of the interface and the method that is it. */
export const HOOKS = {
  access: "authorize", rewrite: "rewrite", limit: "limits", answer: "answer",
  route: "route", reply: "reply", events: "open", audit: "finished",
};

export function definePolicy(policy) {
  const known = new Set(["settings", ...Object.values(HOOKS)]);
  for (const name of Object.keys(policy)) {
    if (!known.has(name)) throw new TypeError(`a policy has no \`${name}\`; there are: ${[...known].join(", ")}`);
  }
  return policy;
}

export function hooksOf(policy) {
  return Object.keys(HOOKS).filter((hook) => typeof policy?.[HOOKS[hook]] === "function");
}
