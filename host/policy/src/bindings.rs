//! What wasmtime's `bindgen!` makes of `wit/policy.wit`: the records, the guests' exports to
//! call, the imports to implement. Generated; never holds code of its own.
//!
//! Parameters of hooks borrow from the host, so that calling a policy copies a string once,
//! into the guest's memory. Hooks and the few imports that wait are async in Rust and plain
//! functions in WIT.

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "policy",
    ownership: Borrowing { duplicate_if_necessary: true },
    imports: {
        "weir:policy/models.complete": async | trappable,
        "weir:policy/models.count-tokens": async | trappable,
        "weir:policy/http.send": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    require_store_data_send: true,
});
