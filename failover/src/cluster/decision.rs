//! Whether the evidence of many nodes trips, and for which of them.
//!
//! The pooled rate has to exceed the threshold, and still to exceed it with the minimum of calls after
//! leaving out the `spare` domains with the largest excess of failures. So no `spare` domains alone trip
//! the others.

use crate::cluster::label::{Label, Scope};
use crate::ratio::Ratio;
use crate::tally::Tally;

/// What a policy says of the decision.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rules {
    /// The share that has to be exceeded; `None`: the fleet does not decide.
    pub(crate) failure_rate: Option<Ratio>,
    pub(crate) minimum_calls: u64,
    /// How many domains may be wrong.
    pub(crate) spare: usize,
    /// The key of the label whose nodes are one domain; otherwise each node is one.
    pub(crate) domain: Option<Box<str>>,
}

/// One node's evidence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Witness<'a> {
    pub(crate) node: u64,
    pub(crate) labels: &'a [Label],
    pub(crate) tally: Tally,
}

/// The calls of several nodes.
pub(crate) fn sum(tallies: impl IntoIterator<Item = Tally>) -> Tally {
    let mut sum = Tally::default();
    tallies.into_iter().for_each(|tally| sum.add(&tally));
    sum
}

impl Rules {
    /// Whether calls with this rate would trip.
    fn exceeds(&self, tally: Tally) -> bool {
        let exceeds = self.failure_rate.is_some_and(|rate| tally.exceeds(rate));
        exceeds && tally.calls() >= self.minimum_calls
    }

    /// Whether there are enough calls to say that they would not.
    fn is_sound(&self, tally: Tally) -> bool {
        tally.calls() >= self.minimum_calls && !self.exceeds(tally)
    }

    /// The failures above the threshold, times its denominator.
    fn excess(&self, tally: Tally) -> i128 {
        self.failure_rate.map_or(0, |rate| {
            i128::from(tally.failures) * i128::from(rate.denominator())
                - i128::from(tally.calls()) * i128::from(rate.numerator())
        })
    }

    /// Whether these domains trip: never on the word of `spare` of them.
    fn trips(&self, mut domains: Vec<Tally>) -> bool {
        if domains.len() <= self.spare || !self.exceeds(sum(domains.iter().copied())) {
            return false;
        }
        domains.sort_unstable_by_key(|tally| std::cmp::Reverse(self.excess(*tally)));
        self.exceeds(sum(domains.into_iter().skip(self.spare)))
    }

    /// The domain of a node in a decision about a scope. Within one domain each node is its own.
    pub(crate) fn domain_of<'a>(
        &self,
        scope: &Scope,
        node: u64,
        labels: &'a [Label],
    ) -> (Option<&'a str>, u64) {
        let key = self
            .domain
            .as_deref()
            .filter(|key| !matches!(scope, Scope::Label(label) if label.key() == *key));
        let label = key.and_then(|key| labels.iter().find(|label| label.key() == key));
        label.map_or((None, node), |label| (Some(label.value()), 0))
    }

    /// The evidence about a scope by domain.
    fn domains(&self, scope: &Scope, witnesses: &[Witness<'_>]) -> Vec<Tally> {
        let inside = witnesses.iter().filter(|w| scope.has(w.labels));
        let mut named: Vec<_> =
            inside.map(|w| (self.domain_of(scope, w.node, w.labels), w.tally)).collect();
        named.sort_unstable_by_key(|(name, _)| *name);
        named
            .chunk_by(|(one, _), (other, _)| one == other)
            .map(|domain| sum(domain.iter().map(|(_, tally)| *tally)))
            .collect()
    }

    /// The scope that has to leave the primary, of a node with these labels: that of a label if its nodes
    /// are failing and the others are not; otherwise the fleet, if no label explains its excess.
    pub(crate) fn decide(&self, witnesses: &[Witness<'_>], labels: &[Label]) -> Option<Scope> {
        self.failure_rate?;
        let own = labels.iter().find_map(|label| {
            let scope = Scope::Label(label.clone());
            let trips = self.trips(self.domains(&scope, witnesses));
            (trips && self.explains(label, witnesses)).then_some(scope)
        });
        if own.is_some() {
            return own;
        }
        if !self.trips(self.domains(&Scope::Fleet, witnesses)) {
            return None;
        }
        let mut others: Vec<&Label> = witnesses.iter().flat_map(|w| w.labels).collect();
        others.sort_unstable();
        others.dedup();
        let is_explained = others.into_iter().any(|label| self.explains(label, witnesses));
        (!is_explained).then_some(Scope::Fleet)
    }

    /// Whether the nodes with a label exceed the threshold, and enough calls of the others do not.
    fn explains(&self, label: &Label, witnesses: &[Witness<'_>]) -> bool {
        let (mut inside, mut outside) = (Tally::default(), Tally::default());
        for witness in witnesses {
            let is_inside = witness.labels.contains(label);
            (if is_inside { &mut inside } else { &mut outside }).add(&witness.tally);
        }
        self.exceeds(inside) && self.is_sound(outside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        let failure_rate = Some(Ratio::HALF);
        Rules { failure_rate, minimum_calls: 10, spare: 1, domain: None }
    }

    /// Nodes with labels, calls and failures; the decision of the first.
    fn decide(rules: &Rules, nodes: &[(&str, u64, u64)]) -> Option<String> {
        let labels: Vec<Vec<Label>> = nodes
            .iter()
            .map(|(labels, ..)| labels.split_whitespace().map(|l| l.parse().unwrap()).collect())
            .collect();
        let witness = |(at, (_, calls, failures)): (usize, &(&str, u64, u64))| Witness {
            node: at as u64,
            labels: &labels[at],
            tally: Tally { successes: calls - failures, failures: *failures, ..Tally::default() },
        };
        let witnesses: Vec<_> = nodes.iter().enumerate().map(witness).collect();
        rules.decide(&witnesses, &labels[0]).map(|scope| scope.to_string())
    }

    fn fleet(pools: &[(u64, u64)]) -> bool {
        let nodes: Vec<_> = pools.iter().map(|(calls, failures)| ("", *calls, *failures)).collect();
        decide(&rules(), &nodes).is_some()
    }

    #[test]
    fn one_bad_node_alone_never_trips_the_others() {
        assert!(!fleet(&[(1_000_000, 1_000_000), (50, 1), (50, 0)]));
        assert!(!fleet(&[(100, 100)]), "a single node decides for itself alone");
        assert!(!fleet(&[(100, 100), (9, 9)]), "too few calls without the worst");
        assert!(fleet(&[(100, 100), (10, 10)]));
    }

    #[test]
    fn many_nodes_with_little_traffic_trip_together() {
        assert!(fleet(&[(2, 2); 20]));
        assert!(!fleet(&[(2, 1); 20]), "exactly half is not more");
        assert!(!fleet(&[(2, 2); 5]), "the minimum, without the worst");
    }

    #[test]
    fn a_zone_is_one_domain_if_the_rules_say_so() {
        let zones = [("zone=a", 100, 100), ("zone=a", 100, 100), ("zone=b", 9, 9)];
        // By nodes the two are enough for the fleet.
        assert_eq!(decide(&rules(), &zones).as_deref(), Some("fleet"));
        let by_zone = Rules { domain: Some("zone".into()), ..rules() };
        assert_eq!(decide(&by_zone, &zones), None);
    }

    #[test]
    fn a_label_that_explains_the_failures_leaves_alone() {
        let bad = |labels, share| (labels, 100_u64, share);
        // One zone of three: the fleet's rate is below the threshold.
        let a = [bad("zone=a", 90), bad("zone=a", 90), bad("zone=b", 0), bad("zone=c", 1)];
        assert_eq!(decide(&rules(), &a).as_deref(), Some("zone=a"));
        assert_eq!(decide(&rules(), &[a[2], a[3], a[0], a[1]]), None);
        // One version with most of the calls: the fleet's rate is above it.
        let v =
            [bad("version=2", 99), bad("version=2", 99), bad("version=2", 99), bad("version=1", 0)];
        assert_eq!(decide(&rules(), &v).as_deref(), Some("version=2"));
        assert_eq!(decide(&rules(), &[v[3], v[0], v[1], v[2]]), None, "it is not of that version");
        // One node of a zone is no zone.
        assert_eq!(decide(&rules(), &[a[0], bad("zone=a", 0), a[2], a[3]]), None);
    }

    #[test]
    fn a_bad_zone_does_not_take_the_other_zones_nodes_of_its_version_along() {
        let by_zone = Rules { domain: Some("zone".into()), ..rules() };
        let nodes = [
            ("version=2 zone=b", 10, 0),
            ("version=2 zone=a", 100, 100),
            ("version=2 zone=a", 100, 100),
            ("version=2 zone=a", 100, 100),
            ("version=1 zone=b", 100, 0),
        ];
        assert_eq!(decide(&by_zone, &nodes), None);
        let of_the_zone = [nodes[1], nodes[0], nodes[2], nodes[3], nodes[4]];
        assert_eq!(decide(&by_zone, &of_the_zone).as_deref(), Some("zone=a"));
    }

    #[test]
    fn where_all_zones_fail_the_fleet_leaves() {
        let all = [("zone=a", 50, 40), ("zone=a", 50, 45), ("zone=b", 50, 45), ("zone=b", 50, 50)];
        assert_eq!(decide(&rules(), &all).as_deref(), Some("fleet"));
        // Too few calls elsewhere to say that they are sound.
        let quiet = [("zone=a", 50, 50), ("zone=a", 50, 50), ("zone=b", 5, 0)];
        assert_eq!(decide(&rules(), &quiet).as_deref(), Some("fleet"));
    }

    #[test]
    fn without_a_failure_rate_the_fleet_does_not_decide() {
        let rules = Rules { failure_rate: None, ..rules() };
        assert_eq!(decide(&rules, &[("", 100, 100), ("", 100, 100), ("", 100, 100)]), None);
    }
}
