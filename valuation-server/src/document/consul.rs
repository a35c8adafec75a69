//! Consul's blocking queries, by the rules of their documentation
//! (developer.hashicorp.com/consul/api-docs/features/blocking).

use std::time::Duration;

/// The response's header.
pub(super) const HEADER: &str = "x-consul-index";

/// The index that the next query waits for a change of; 0 if the next one must not wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Index(u64);

impl Index {
    /// The index after an answer with this header, if it has one.
    pub(super) fn after(self, header: Option<&str>) -> Self {
        let index = header.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        // An index that went backwards is of another state, such as a restored one: a query that waits for it
        // would not see changes until it is reached again.
        if index < self.0 { Self(0) } else { Self(index) }
    }

    /// Whether a query can wait for a change.
    pub(super) fn can_wait(self) -> bool {
        self.0 > 0
    }

    /// The query of a URL, with what makes it wait up to this long.
    pub(super) fn query(self, query: Option<&str>, wait: Duration) -> String {
        let ours = |part: &&str| !part.starts_with("index=") && !part.starts_with("wait=");
        let mut parts: Vec<_> = query
            .into_iter()
            .flat_map(|query| query.split('&'))
            .filter(ours)
            .map(str::to_owned)
            .collect();
        parts.push(format!("index={}", self.0));
        parts.push(format!("wait={}ms", wait.as_millis()));
        parts.join("&")
    }
}

/// How long an answer may take that may wait this long: Consul adds up to a sixteenth.
pub(super) fn longest(wait: Duration) -> Duration {
    wait + wait / 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_went_backwards_or_is_no_positive_number_is_reset() {
        let index = Index::default();
        assert!(!index.can_wait());
        let index = index.after(Some("7"));
        assert_eq!(
            (index, index.after(Some("7")), index.after(Some("9"))),
            (Index(7), Index(7), Index(9))
        );
        for header in [Some("6"), Some("0"), Some("-1"), Some("x"), Some(""), None] {
            assert!(!index.after(header).can_wait(), "{header:?}");
        }
        assert_eq!(index.after(Some("18446744073709551615")), Index(u64::MAX));
    }

    #[test]
    fn a_query_that_waits_keeps_the_urls_own_parameters() {
        let wait = Duration::from_secs(60);
        for (query, expected) in [
            (None, "index=7&wait=60000ms"),
            (Some("raw"), "raw&index=7&wait=60000ms"),
            (Some("raw&dc=a&wait=5m&index=1"), "raw&dc=a&index=7&wait=60000ms"),
        ] {
            assert_eq!(Index(7).query(query, wait), expected);
        }
    }
}
