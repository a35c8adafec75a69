//! Divides the ids of a log among the files that have its rows.

/// Ids above the first, and up to the second; none if it is not lower.
pub(super) type Ids = (i64, i64);

/// The ids that are in both.
pub(super) fn common(one: Ids, other: Ids) -> Ids {
    (one.0.max(other.0), one.1.min(other.1))
}

/// The ids of each file, by the lowest and the highest that it has: an id that several have belongs to one.
pub(super) fn divide(ends: &[Option<(i64, i64)>]) -> Vec<Ids> {
    let mut owned = vec![(0, 0); ends.len()];
    let mut taken = 0;
    for index in in_order(ends) {
        if let Some((first, last)) = ends[index].filter(|(_, last)| *last > taken) {
            owned[index] = (taken.max(first.saturating_sub(1)), last);
            taken = last;
        }
    }
    owned
}

/// Ids that a file has and another one owns: both files, and the ids.
pub(super) fn overlaps(ends: &[Option<(i64, i64)>], owned: &[Ids]) -> Vec<(usize, usize, Ids)> {
    let mut found = Vec::new();
    for (index, ends) in ends.iter().enumerate() {
        let Some((first, last)) = ends else { continue };
        for (owner, owned) in owned.iter().enumerate().filter(|(owner, _)| *owner != index) {
            let ids = common((first.saturating_sub(1), *last), *owned);
            if ids.0 < ids.1 {
                found.push((index, owner, ids));
            }
        }
    }
    found
}

/// The ranges, from the first to the last id, that no file owns, from 1 to `last`.
pub(super) fn gaps(owned: &[Ids], last: i64) -> Vec<(i64, i64)> {
    let mut owned: Vec<_> = owned.iter().filter(|(after, up_to)| after < up_to).collect();
    owned.sort();
    let mut found = Vec::new();
    let mut taken = 0;
    for (after, up_to) in owned {
        if taken < *after {
            found.push((taken + 1, *after));
        }
        taken = *up_to;
    }
    if taken < last {
        found.push((taken + 1, last));
    }
    found
}

fn in_order(ends: &[Option<(i64, i64)>]) -> Vec<usize> {
    let mut order: Vec<_> = (0..ends.len()).collect();
    order.sort_by_key(|index| ends[*index]);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_in_any_order_own_each_id_once_and_what_is_between_them_is_a_gap() {
        let ends = [Some((8, 20)), None, Some((3, 9)), Some((3, 5)), Some((24, 30))];
        let owned = divide(&ends);
        assert_eq!(owned, [(9, 20), (0, 0), (5, 9), (2, 5), (23, 30)]);
        assert_eq!(overlaps(&ends, &owned), [(0, 2, (7, 9)), (2, 3, (2, 5))]);
        assert_eq!(gaps(&owned, 33), [(1, 2), (21, 23), (31, 33)]);
        assert_eq!(gaps(&[(0, 4)], 4), []);
        assert_eq!(gaps(&[(0, 0)], 4), [(1, 4)]);
        assert_eq!(gaps(&[], 0), []);
    }

    #[test]
    fn ids_that_no_server_gives_are_owned_by_nobody_and_overflow_nothing() {
        assert_eq!(divide(&[Some((i64::MIN, -1))]), [(0, 0)]);
        assert_eq!(divide(&[Some((i64::MIN, i64::MAX))]), [(0, i64::MAX)]);
        assert_eq!(gaps(&[(0, i64::MAX)], i64::MAX), []);
    }
}
