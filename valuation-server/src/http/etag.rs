//! The entity tag of a valuation.
//!
//! It is built from the values, so it is the same on every node and after every restart, and two
//! representations of one URL share a tag only if their bytes are equal.

use std::io::{Cursor, Write as _};

use hyper::header::HeaderValue;

use crate::domain::{Provider, Valuation};

/// The version of a valuation's JSON: to be incremented when its format changes.
const FORM: u8 = 1;

/// The strong tag of a valuation's JSON.
pub(super) fn of(valuation: &Valuation) -> HeaderValue {
    let provider = valuation.provider.map_or('n', Provider::letter);
    let (lowest, highest) = (valuation.lowest.pence(), valuation.highest.pence());
    // Two numbers of at most 20 digits, and 8 other characters.
    let mut tag = Cursor::new([0; 64]);
    let _ = write!(tag, "\"{FORM}-{lowest}-{highest}-{provider}\"");
    let length = usize::try_from(tag.position()).unwrap_or(0);
    HeaderValue::from_bytes(&tag.get_ref()[..length])
        .unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Money, Vrm};
    use crate::web::assets::is_known;
    use hyper::header::{HeaderMap, IF_NONE_MATCH};

    fn tag(lowest: &str, highest: &str, provider: Option<Provider>) -> HeaderValue {
        of(&Valuation {
            vrm: Vrm::parse("A").unwrap(),
            lowest: Money::parse(lowest).unwrap(),
            highest: Money::parse(highest).unwrap(),
            provider,
        })
    }

    #[test]
    fn other_values_have_another_tag() {
        let tags = [
            tag("1", "2", None),
            tag("1", "2", Some(Provider::SuperCar)),
            tag("1", "2", Some(Provider::Premium)),
            tag("0.01", "2", None),
            tag("1", "99999999.99", None),
            // The same digits, split elsewhere.
            tag("0.01", "1.12", None),
            tag("0.11", "0.12", None),
        ];
        for (at, one) in tags.iter().enumerate() {
            assert!(one.to_str().unwrap().starts_with('"') && one.to_str().unwrap().ends_with('"'));
            assert!(tags[..at].iter().all(|other| other != one), "{one:?}");
        }
        assert_eq!(tag("1.0", "2", None), tag("1", "2.00", None));
    }

    #[test]
    fn a_tag_is_found_alone_in_a_list_weak_and_by_the_star() {
        let tag = tag("1", "2", None);
        let with = |values: &[&str]| {
            let value = |v: &&str| (IF_NONE_MATCH, HeaderValue::from_str(v).unwrap());
            let mut headers = HeaderMap::new();
            headers.extend(values.iter().map(value).map(|(name, value)| (Some(name), value)));
            is_known(&headers, &tag)
        };
        let own = tag.to_str().unwrap();
        assert!(with(&[own]));
        assert!(with(&[&format!("\"x\" ,W/{own}")]));
        assert!(with(&["\"x\"", own]));
        assert!(with(&["*"]));
        for other in ["", "\"x\"", own.trim_matches('"'), "W/*"] {
            assert!(!with(&[other]), "{other}");
        }
        assert!(!with(&[]));
    }
}
