//! The text of a document.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::{ConfigError, Given, Invalid, Origin, SHOWN, Setting};
use crate::document::Place;
use crate::domain::shortened;

/// Reads a flat TOML table. Values may be texts, numbers or booleans; a number is kept as it is
/// written, so that `0.1` is exactly one tenth.
pub(super) fn parse(text: &str, place: &Place) -> Result<BTreeMap<Setting, Given>, ConfigError> {
    let line = |span: Range<usize>| {
        1 + text.bytes().take(span.start).filter(|byte| *byte == b'\n').count()
    };
    let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
        place: place.clone(),
        line: line(error.span().unwrap_or_default()),
        // Only the message: the error's own text shows the line, which may hold a key.
        message: error.message().to_owned(),
    })?;
    let mut given = BTreeMap::new();
    for (key, value) in table.into_inner() {
        let line = line(value.span());
        let Some(setting) = Setting::from_key(key.get_ref()) else {
            let key = shortened(key.get_ref(), SHOWN);
            return Err(ConfigError::UnknownKey { place: place.clone(), line, key });
        };
        let origin = Origin::Document { place: place.clone(), line };
        let is_list = setting.row().form.list;
        let Some(text) = text_of(value.get_ref(), is_list) else {
            return Err(ConfigError::Value {
                setting,
                place: origin.place(setting),
                value: value.get_ref().type_str().to_owned(),
                because: Invalid::Form,
            });
        };
        given.insert(setting, Given { text, origin });
    }
    Ok(given)
}

fn text_of(value: &DeValue<'_>, is_list: bool) -> Option<String> {
    match value {
        DeValue::Array(parts) if is_list && !parts.is_empty() => {
            let parts: Option<Vec<_>> =
                parts.iter().map(|part| text_of(part.get_ref(), false)).collect();
            Some(parts?.join(","))
        }
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(true) => Some("on".to_owned()),
        DeValue::Boolean(false) => Some("off".to_owned()),
        _ => None,
    }
}
