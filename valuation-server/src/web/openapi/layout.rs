//! JSON for readers: a value that fits on a line stays on it.

use serde_json::Value;

/// The longest line, in bytes, unless a single text is longer.
const WIDTH: usize = 80;

/// A value on as few lines as are readable.
pub(super) fn laid_out(value: &Value) -> String {
    lines(value, 0, WIDTH)
}

/// `indent` is that of the value's last line, and `room` what its first line has left.
fn lines(value: &Value, indent: usize, room: usize) -> String {
    let line = line(value);
    let inner = indent + 2;
    let item = |start: String, value: &Value| {
        let room = WIDTH.saturating_sub(inner + start.len() + ",".len());
        format!("{:inner$}{start}{}", "", lines(value, inner, room))
    };
    let (open, items, close) = match value {
        _ if line.len() <= room => return line,
        Value::Object(members) if !members.is_empty() => {
            let items = members.iter().map(|(name, value)| item(start(name), value));
            ('{', items.collect::<Vec<_>>(), '}')
        }
        Value::Array(values) if !values.is_empty() => {
            ('[', values.iter().map(|value| item(String::new(), value)).collect(), ']')
        }
        _ => return line,
    };
    format!("{open}\n{}\n{:indent$}{close}", items.join(",\n"), "")
}

fn line(value: &Value) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match value {
        Value::Object(members) if !members.is_empty() => {
            let items = members.iter().map(|(name, value)| start(name) + &line(value));
            format!("{{ {} }}", list(items.collect()))
        }
        Value::Array(values) => format!("[{}]", list(values.iter().map(line).collect())),
        value => value.to_string(),
    }
}

/// What a member begins with.
fn start(name: &str) -> String {
    format!("{}: ", Value::from(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_fits_on_a_line_stays_on_it_and_nothing_is_lost() {
        assert_eq!(
            laid_out(&json!({"a": [1, "\"", null], "b": {}})),
            r#"{ "a": [1, "\"", null], "b": {} }"#
        );
        let text = "x".repeat(70);
        let value = json!({"a": {"b": text, "c": [1, text]}, "d": [], "e": {"f": 1}});
        let shown = laid_out(&value);
        let expected = format!(
            "{{\n  \"a\": {{\n    \"b\": \"{text}\",\n    \"c\": [\n      1,\n      \"{text}\"\n    ]\n  }},\n  \
             \"d\": [],\n  \"e\": {{ \"f\": 1 }}\n}}"
        );
        assert_eq!(shown, expected);
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), value);
    }
}
