//! Segments that changed while nobody looked: answers stay right, and the change is noticed.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::oracle::check_damaged;
use super::small_store;
use super::workload::{Call, Failure, Life, new_vector};
use crate::fs::simulated::Mutant;
use crate::store::Store;
use crate::types::Id;

#[test]
fn a_changed_bit_of_a_segment_changes_no_answer_and_is_noticed() {
    let flips = flips(None, 3).unwrap_or_else(|failure| panic!("{failure}"));
    println!("damage: {flips} changed bits, 0 wrong answers, all noticed");
}

/// Neighbours of a search in which codes decide what is looked at: fewer than there are items.
const NEAR: usize = 3;

/// Flips a bit of every `step`-th byte of a segment, each time in a sound store. How many.
pub(super) fn flips(mutant: Option<Mutant>, step: usize) -> Result<usize, Failure> {
    let (image, items) = small_store(1);
    let mut life = Life::mount(image, vec![items.clone()], None);
    life.open()?;
    life.settle(items);
    life.call(Call::Compact, 1)?;
    life.call(Call::Reopen, 1)?;
    let (image, items) = (life.disk().image(), life.items());
    let mut rng = StdRng::seed_from_u64(1);
    let metric = life.store().metric();
    let queries: Vec<Vec<f32>> = (0..6).map(|_| new_vector(metric, &mut rng)).collect();
    let expected = nearest(life.store(), &queries)?;
    for flip in 0.. {
        let mut life = Life::mount(image.clone(), vec![items.clone()], mutant);
        if !life.disk().flip(flip * step, rng.random_range(0..8)) {
            return Ok(flip);
        }
        life.open()
            .and_then(|()| match nearest(life.store(), &queries)? {
                found if found == expected => check_damaged(life.store(), &items),
                found => Err(format!("expected the neighbours {expected:?}, found {found:?}")),
            })
            .map_err(|failure| format!("flip {flip}, of a bit of byte {}: {failure}", flip * step))?;
    }
    unreachable!("a segment has an end")
}

/// The nearest items of each query, by a scan of every leaf.
fn nearest(store: &Store, queries: &[Vec<f32>]) -> Result<Vec<Vec<(f32, Id)>>, Failure> {
    let search = |query: &Vec<f32>| store.query(query).and_then(|query| query.k(NEAR).effort(usize::MAX).run());
    let hits = queries.iter().map(search).collect::<Result<Vec<_>, _>>();
    let hits = hits.map_err(|error| format!("a search failed: {error}"))?;
    Ok(hits.into_iter().map(|hits| hits.into_iter().map(|hit| (hit.distance, hit.id)).collect()).collect())
}
