//! The model every answer is compared with: a map, and a brute-force ranking in float64.

use std::collections::{BTreeMap, HashMap, HashSet};

use understory::{Hit, Id, Item, Metric};

use crate::support::{Note, Reader};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub vector: Vec<f32>,
    pub note: Option<Note>,
}

/// What the store must hold.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub metric: Metric,
    pub items: BTreeMap<Id, Entry>,
}

/// How many of the true nearest an answer had.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Recall {
    pub found: usize,
    pub wanted: usize,
}

impl Recall {
    pub(crate) fn add(&mut self, other: Recall) {
        self.found += other.found;
        self.wanted += other.wanted;
    }

    pub(crate) fn share(self) -> f64 {
        if self.wanted == 0 { 1.0 } else { self.found as f64 / self.wanted as f64 }
    }
}

impl Model {
    pub(crate) fn new(metric: Metric) -> Model {
        Model { metric, items: BTreeMap::new() }
    }

    pub(crate) fn insert(&mut self, id: impl Into<Id>, vector: &[f32], note: Option<Note>) {
        self.items.insert(id.into(), Entry { vector: vector.to_vec(), note });
    }

    /// The true distance.
    pub(crate) fn distance(&self, left: &[f32], right: &[f32]) -> f64 {
        match self.metric {
            Metric::Euclidean => {
                let squares = left.iter().zip(right).map(|(&l, &r)| (f64::from(l) - f64::from(r)).powi(2));
                squares.sum::<f64>().sqrt()
            }
            Metric::Dot => -product(left, right),
            Metric::Manhattan => left.iter().zip(right).map(|(&l, &r)| (f64::from(l) - f64::from(r)).abs()).sum(),
            Metric::Hamming => left.iter().zip(right).filter(|(l, r)| l != r).count() as f64,
            Metric::Cosine => {
                let norms = (product(left, left) * product(right, right)).sqrt();
                (1.0 - product(left, right) / norms).clamp(0.0, 2.0)
            }
            other => panic!("the oracle does not know the metric {other}"),
        }
    }

    /// How far float32 arithmetic may be from the true distance.
    fn slack(&self, query: &[f32], vector: &[f32], distance: f64) -> f64 {
        match self.metric {
            Metric::Euclidean | Metric::Manhattan => distance * 1e-5 + 1e-15,
            Metric::Hamming => 0.0,
            Metric::Dot => (product(query, query) * product(vector, vector)).sqrt() * 4e-6 + 1e-30,
            _ => 4e-6,
        }
    }

    /// Every item, nearest first, ties by id.
    pub(crate) fn ranking(&self, query: &[f32]) -> Vec<(f64, &Id)> {
        let mut ranking: Vec<_> =
            self.items.iter().map(|(id, entry)| (self.distance(query, &entry.vector), id)).collect();
        ranking.sort_by(|left, right| left.0.total_cmp(&right.0).then(left.1.cmp(right.1)));
        ranking
    }

    /// What any answer must be: min(k, items) different live items, nearest first, ties by id, each with its own
    /// distance. Returns how many of the nearest were found.
    pub(crate) fn check_hits(&self, query: &[f32], k: usize, hits: &[Hit]) -> Recall {
        let expected = k.min(self.items.len());
        assert_eq!(hits.len(), expected, "expected min(k = {k}, {} items) hits", self.items.len());
        self.check_each(query, hits);
        let ranking = self.ranking(query);
        let Some(&(farthest, id)) = ranking[..expected].last() else { return Recall::default() };
        let reach = farthest + 2.0 * self.slack(query, &self.items[id].vector, farthest);
        let found = hits.iter().filter(|hit| self.distance(query, &self.items[&hit.id].vector) <= reach).count();
        Recall { found, wanted: expected }
    }

    /// What an exact answer must be beyond that: the brute-force ranking, up to rounding between different vectors
    /// and not at all between equal ones.
    pub(crate) fn check_exact(&self, query: &[f32], k: usize, hits: &[Hit]) {
        self.check_hits(query, k, hits);
        let ranking = self.ranking(query);
        for (rank, (hit, &(truth, id))) in hits.iter().zip(&ranking).enumerate() {
            let slack = 2.0
                * self.slack(query, &self.items[id].vector, truth).max(self.slack(
                    query,
                    &self.items[&hit.id].vector,
                    f64::from(hit.distance),
                ));
            let off = (f64::from(hit.distance) - truth).abs();
            assert!(off <= slack, "rank {rank}: expected {id:?} at {truth}, found {hit:?}, {off} off");
        }
        self.check_twins(hits);
    }

    /// Items with the same vector have the same distance, so the smaller ids must come first.
    fn check_twins(&self, hits: &[Hit]) {
        let mut twins: HashMap<Vec<u32>, Vec<&Id>> = HashMap::new();
        for (id, entry) in &self.items {
            twins.entry(bits(&entry.vector)).or_default().push(id);
        }
        let mut seen: HashMap<Vec<u32>, usize> = HashMap::new();
        for hit in hits {
            let vector = bits(&self.items[&hit.id].vector);
            let nth = seen.entry(vector.clone()).or_default();
            assert_eq!(&hit.id, twins[&vector][*nth], "expected items with equal vectors in the order of ids");
            *nth += 1;
        }
    }

    fn check_each(&self, query: &[f32], hits: &[Hit]) {
        let different: HashSet<&Id> = hits.iter().map(|hit| &hit.id).collect();
        assert_eq!(different.len(), hits.len(), "expected each item once in {hits:?}");
        for pair in hits.windows(2) {
            let ordered = (pair[0].distance, &pair[0].id) < (pair[1].distance, &pair[1].id);
            assert!(ordered, "expected ascending distances, ties by id, found {pair:?}");
        }
        for hit in hits {
            let Some(entry) = self.items.get(&hit.id) else { panic!("expected live items, found the dead {hit:?}") };
            let truth = self.distance(query, &entry.vector);
            let off = (f64::from(hit.distance) - truth).abs();
            let slack = self.slack(query, &entry.vector, truth);
            assert!(off <= slack, "expected {hit:?} at distance {truth}, {off} off");
            if bits(query) == bits(&entry.vector) {
                match self.metric {
                    Metric::Euclidean | Metric::Manhattan | Metric::Hamming => {
                        assert_eq!(hit.distance, 0.0, "an item's distance from its own vector")
                    }
                    Metric::Cosine => assert!(hit.distance <= 1e-6, "{hit:?} from its own vector"),
                    _ => {}
                }
            }
        }
    }

    /// One item as the store gave it back: the vector bit for bit, the metadata whole.
    pub(crate) fn check_item(&self, item: &Item) {
        let entry = self.items.get(&item.id).unwrap_or_else(|| panic!("expected no item {:?}", item.id));
        assert_eq!(bits(&item.vector), bits(&entry.vector), "the vector of {:?}", item.id);
        match &entry.note {
            Some(note) => {
                let found: Note = item.metadata.to_serde().expect("the metadata that was put in");
                assert_eq!(&found, note, "the metadata of {:?}", item.id);
            }
            None => assert_eq!(item.metadata.iter().count(), 0, "expected no metadata at {:?}", item.id),
        }
    }

    /// Length, ids and items, all of them and in order.
    pub(crate) fn check_contents(&self, reader: &impl Reader) {
        assert_eq!(reader.size().unwrap(), self.items.len() as u64, "length");
        let ids: Vec<&Id> = self.items.keys().collect();
        assert_eq!(reader.all_ids().unwrap().iter().collect::<Vec<_>>(), ids, "ids in order");
        let items = reader.all_items().unwrap();
        assert_eq!(items.iter().map(|item| &item.id).collect::<Vec<_>>(), ids, "items in the order of ids");
        for item in &items {
            self.check_item(item);
        }
    }

    /// Contents, an exact and a default search for each query. Returns the recall of the default searches.
    pub(crate) fn check_reader(&self, reader: &impl Reader, queries: &[Vec<f32>]) -> Recall {
        self.check_contents(reader);
        let mut recall = Recall::default();
        for query in queries {
            let exact = reader.about(query).unwrap().k(10).exact().run().unwrap();
            self.check_exact(query, 10, &exact);
            recall.add(self.check_hits(query, 10, &reader.nearest(query, 10).unwrap()));
        }
        recall
    }
}

pub(crate) fn bits(vector: &[f32]) -> Vec<u32> {
    vector.iter().map(|component| component.to_bits()).collect()
}

fn product(left: &[f32], right: &[f32]) -> f64 {
    left.iter().zip(right).map(|(&l, &r)| f64::from(l) * f64::from(r)).sum()
}
