//! What wasmtime's `bindgen!` makes of the newest folder of `wit/`: the records and the traits of
//! the imports. Generated; never holds code of its own.
//!
//! Types of components have no names, only shapes, and those of older releases have the same: the
//! records serve all releases. What bindgen generates to call and to link has the names of one
//! release in it and is not used: see `guests.rs` and `link.rs`.
//!
//! Parameters of hooks borrow from the host, so that calling a policy copies a string once,
//! into the guest's memory. The few imports that wait are async in Rust and plain functions in WIT.

wasmtime::component::bindgen!({
    path: "../../wit/0.2",
    world: "policy",
    ownership: Borrowing { duplicate_if_necessary: true },
    imports: {
        "weir:policy/models.complete": async | trappable,
        "weir:policy/models.count-tokens": async | trappable,
        "weir:policy/http.send": async | trappable,
        default: trappable,
    },
    require_store_data_send: true,
});
