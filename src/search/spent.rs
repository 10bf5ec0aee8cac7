//! The effort that a scan of leaves has spent, by which it ends.
//!
//! Leaves come nearest first. After `n` items, with the next leaf's centroid at the squared distance `d` of the query and
//! the k-th neighbour found so far at `r`, a search has spent an effort of `n (d / r)^4`. So it ends early where what is
//! left is far beyond what was found, and late where it is not, as for queries that lie apart from the items.
//!
//! That more leaves pay while they are near compared with what was found is the observation of SPANN's pruning by distance
//! (Chen et al., 2021) and of learned early termination (Li et al., 2020). The formula was chosen by measurement: of fixed
//! numbers of items, distances and their ratios, the leaves since the last find and products of powers of these, it is among
//! the best for recalls of .90 to .99 on each of three sets: .6 to .9 times the items of a fixed number (`docs/scale.md`). The
//! power may be 3 to 6. What distances are measured in is no matter, as long as both are in the same.

/// Where distances tell nothing, items count once; no item counts more or less than this.
const MOST: f32 = 16.0;

/// The effort of `items` scanned, with the next leaf at `leaf` and the k-th neighbour at `kth`; infinite while there is none.
pub(super) fn spent(items: u64, leaf: f32, kth: f32) -> u64 {
    let ratio = leaf.max(0.0) / kth;
    // Nothing is nearer than what is at the query itself.
    let weight = if kth > 0.0 { (ratio * ratio) * (ratio * ratio) } else { MOST };
    (items as f64 * f64::from(weight.clamp(1.0 / MOST, MOST))) as u64
}

/// Whether no search of so many items spends less than this effort before it has scanned them all.
pub(super) fn takes_all(effort: u64, items: u64) -> bool {
    effort as f64 >= items as f64 * f64::from(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_count_by_how_far_the_next_leaf_is() {
        assert_eq!(spent(100, 3.0, 3.0), 100);
        assert_eq!(spent(100, 3.0, 1.5), 1_600);
        assert_eq!(spent(1_600, 1.5, 3.0), 100);
        assert!(spent(100, 3.1, 3.0) > 100 && spent(100, 2.9, 3.0) < 100);
    }

    #[test]
    fn the_weight_of_an_item_is_bounded() {
        for (leaf, kth) in [(9.0, 0.0), (0.0, 0.0), (f32::INFINITY, 1.0), (f32::MAX, f32::MIN_POSITIVE)] {
            assert_eq!(spent(100, leaf, kth), 1_600, "{leaf} {kth}");
        }
        assert!(takes_all(1_600, 100) && !takes_all(1_599, 100));
        for (leaf, kth) in [(9.0, f32::INFINITY), (-1.0, 2.0), (0.0, 2.0), (f32::NAN, 2.0)] {
            assert_eq!(spent(1_600, leaf, kth), 100, "{leaf} {kth}");
        }
    }
}
