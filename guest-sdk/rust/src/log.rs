//! The policy's own log, which the host bounds and tags with the policy's name.
//!
//! `log::info!("{} tokens", n)` and its brothers format; `log::write` takes the line as it is.

pub use crate::bindings::imports::weir::policy::log::Level;
use crate::raw::log as raw;

/// Writes one line.
pub fn write(level: Level, message: &str) {
    raw::write(level, message);
}

macro_rules! levels {
    ($d:tt $($name:ident $hidden:ident $level:ident $doc:literal;)+) => { $(
        #[doc(hidden)]
        #[macro_export]
        macro_rules! $hidden {
            ($d($d arg:tt)*) => {
                $crate::log::write($crate::log::Level::$level, &::std::format!($d($d arg)*))
            };
        }
        #[doc = $doc]
        pub use $hidden as $name;
    )+ };
}

levels! { $
    trace __trace Trace "Every step, for finding a bug.";
    debug __debug Debug "What helps while developing.";
    info __info Info "What an operator may want to know.";
    warn __warn Warn "What an operator should look at.";
    error __error Error "What went wrong.";
}
