//! The vocabulary of hooks as Rust types, under the names that the rest of Weir uses.
//!
//! They are the generated types themselves (but `Candidate`, see there), so nothing is copied between
//! two shapes. What goes
//! into a policy borrows (`Summary`, `WholeReply`, `StreamEvent`, `Outcome`); what
//! comes out owns (`Denial`, `LimitRule`, `RouteAttempt`, `Response`, `NewEvent`).

pub use crate::bindings::exports::weir::policy::audit::Outcome;
pub use crate::bindings::exports::weir::policy::events::{
    Action, EventParam as StreamEvent, EventResult as NewEvent, RawEventParam as RawEvent,
    RawEventResult as NewRawEvent, TextDeltaParam as TextDelta, TextDeltaResult as NewTextDelta,
    ToolCallDeltaParam as ToolCallDelta, ToolCallDeltaResult as NewToolCallDelta,
};
pub use crate::bindings::exports::weir::policy::limit::{
    Rule as LimitRule, Unit as LimitUnit, Window as LimitWindow,
};
pub use crate::bindings::exports::weir::policy::route::Attempt as RouteAttempt;
pub use crate::bindings::weir::policy::http::Request as HttpRequest;
pub use crate::bindings::weir::policy::log::Level as LogLevel;
pub use crate::bindings::weir::policy::models::Completion;
pub use crate::bindings::weir::policy::types::{
    Denial, Message, Operation, ResponseParam as WholeReply, ResponseResult as Response, Summary,
    Usage,
};
pub use crate::candidate::Candidate;
