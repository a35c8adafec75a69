//! The text of a caught panic, for the log.

use std::any::Any;

/// The message of `panic!`; a payload of another type comes from `panic_any`.
pub(crate) fn text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no text)")
}
