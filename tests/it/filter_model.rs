//! Random items, filters and changes: every answer against a map and the evaluation of the filter item by item.
//!
//! `UNDERSTORY_FILTER_SEED=17 cargo test --test it filter_model` replays one run; `UNDERSTORY_FILTER_RUNS=500` is the long form.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use rand::RngExt;
use rand::rngs::StdRng;
use understory::{
    Batch, Error, Filter, Id, Maintenance, Metadata, Metric, Options, Store, Timestamp, Value, field, ids,
};

use crate::filter_search;
use crate::support::{Dir, generator};

const RUNS: u64 = 8;
const STEPS: usize = 40;
const DIMENSION: usize = 4;
const IDS: u64 = 400;
/// More than a delta holds, so that the rows alone answer for them until a flush.
const BULK: u64 = 9_000;

#[test]
fn filters_select_what_they_mean() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("UNDERSTORY_FILTER_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("UNDERSTORY_FILTER_RUNS").unwrap_or(RUNS),
    };
    for seed in seeds {
        let replay = Replay(seed);
        let mut run = Run::new(seed);
        for _ in 0..STEPS {
            run.step();
        }
        run.check();
        drop(replay);
    }
}

struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to replay: UNDERSTORY_FILTER_SEED={} cargo test --test it filter_model", self.0);
        }
    }
}

type Items = BTreeMap<Id, (Vec<f32>, Metadata)>;

struct Run {
    rng: StdRng,
    dir: Dir,
    options: Options,
    store: Store,
    items: Items,
}

impl Run {
    fn new(seed: u64) -> Run {
        let maintenance = [Maintenance::Manual, Maintenance::Background][seed as usize % 2];
        let options = Options::new().metric(Metric::Euclidean).maintenance(maintenance);
        let dir = Dir::in_memory();
        let store = Store::open_with(dir.store(), options.clone()).unwrap();
        let mut run = Run { rng: generator(seed), dir, options, store, items: Items::new() };
        if seed % 4 == 2 {
            let mut batch = Batch::new();
            for number in 0..BULK {
                run.insert_into(&mut batch, Id::from(number + IDS));
            }
            run.store.write(batch).unwrap();
            run.check();
        }
        run
    }

    fn id(&mut self) -> Id {
        let number = self.rng.random_range(0..IDS);
        if number % 3 == 0 { Id::from(format!("item {number}")) } else { Id::from(number) }
    }

    fn vector(&mut self) -> Vec<f32> {
        (0..DIMENSION).map(|_| self.rng.random_range(-8..8) as f32 / 4.0).collect()
    }

    fn insert_into(&mut self, batch: &mut Batch, id: Id) {
        let (vector, metadata) = (self.vector(), random_metadata(&mut self.rng));
        batch.insert_with(id.clone(), &vector, &metadata).unwrap();
        self.items.insert(id, (vector, metadata));
    }

    fn step(&mut self) {
        match self.rng.random_range(0..40) {
            0..12 => self.batch(),
            12..16 => self.change_one(),
            16..18 => self.refused_batch(),
            18..20 => self.remove_where(),
            20..23 => self.store.flush().unwrap(),
            23 => self.store.compact().unwrap(),
            24 => self.reopen(),
            _ => self.check(),
        }
    }

    /// Writes of all kinds, of few ids, in order.
    fn batch(&mut self) {
        let mut batch = Batch::new();
        for _ in 0..self.rng.random_range(1..120) {
            let id = self.id();
            match (self.rng.random_range(0..6), self.items.get_mut(&id)) {
                (0, Some((_, metadata))) => {
                    *metadata = random_metadata(&mut self.rng);
                    batch.update_metadata(id, metadata).unwrap();
                }
                (1, Some((_, metadata))) => {
                    let patch = random_patch(&mut self.rng);
                    *metadata = patched(metadata, &patch);
                    batch.patch_metadata(id, &patch).unwrap();
                }
                (2, _) => {
                    batch.remove(id.clone());
                    self.items.remove(&id);
                }
                _ => self.insert_into(&mut batch, id),
            }
        }
        self.store.write(batch).unwrap();
    }

    fn change_one(&mut self) {
        let id = self.id();
        let patch = random_patch(&mut self.rng);
        let replaces = self.rng.random_bool(0.5);
        let outcome = match replaces {
            true => self.store.update_metadata(id.clone(), &patch),
            false => self.store.patch_metadata(id.clone(), &patch),
        };
        match (outcome, self.items.get_mut(&id)) {
            (Ok(()), Some((_, metadata))) => *metadata = if replaces { patch } else { patched(metadata, &patch) },
            (Err(Error::NotFound(found)), None) => assert_eq!(found, id),
            (outcome, there) => panic!("{outcome:?} for {there:?}"),
        }
    }

    /// A change of an item that is not there, or not any more, refuses the batch whole.
    fn refused_batch(&mut self) {
        let (mut batch, gone) = (Batch::new(), self.id());
        let before = self.items.clone();
        for _ in 0..3 {
            let id = self.id();
            self.insert_into(&mut batch, id);
        }
        batch.remove(gone.clone()).patch_metadata(gone.clone(), &random_patch(&mut self.rng)).unwrap();
        assert!(matches!(self.store.write(batch), Err(Error::NotFound(id)) if id == gone));
        self.items = before;
    }

    fn remove_where(&mut self) {
        let filter = random_filter(&mut self.rng, 2) & field("year").lt(1996);
        let before = self.items.len();
        self.items.retain(|id, (_, metadata)| !filter.matches(id, metadata));
        let removed = (before - self.items.len()) as u64;
        assert_eq!(self.store.remove_where(&filter).unwrap(), removed, "{filter}");
    }

    fn reopen(&mut self) {
        self.store.close().unwrap();
        self.store = Store::open_with(self.dir.store(), self.options.clone()).unwrap();
        self.check();
    }

    fn check(&mut self) {
        assert_eq!(self.store.len().unwrap(), self.items.len() as u64);
        if let Some((id, (vector, metadata))) = self.items.iter().nth(self.rng.random_range(0..=self.items.len())) {
            let item = self.store.get(id.clone()).unwrap().unwrap();
            // As text, where NaN is NaN.
            assert_eq!(format!("{:?}", (item.vector, item.metadata)), format!("{:?}", (vector, metadata)), "{id:?}");
        }
        for _ in 0..3 {
            let filter = random_filter(&mut self.rng, 3);
            let matching: Vec<&Id> = self
                .items
                .iter()
                .filter(|(id, (_, metadata))| filter.matches(id, metadata))
                .map(|(id, _)| id)
                .collect();
            assert_eq!(self.store.count(&filter).unwrap(), matching.len() as u64, "{filter}");
            let found = self.store.scan_where(&filter).unwrap().ids().unwrap();
            assert!(found.iter().eq(matching), "{filter}");
            let path = FIELDS[self.rng.random_range(0..FIELDS.len())];
            self.check_distinct(&filter, path);
            filter_search::check(&self.store, &self.items, &filter, path, &mut self.rng);
            let (descending, limit) = (self.rng.random_bool(0.5), self.rng.random_range(1..200));
            let ordered = self.rng.random_bool(0.8).then_some(path);
            self.check_pages(&filter, ordered, descending, limit);
        }
    }

    fn check_distinct(&self, filter: &Filter, path: &str) {
        let mut expected: Vec<(Value, u64)> = Vec::new();
        for (_, (_, metadata)) in self.items.iter().filter(|(id, (_, metadata))| filter.matches(id, metadata)) {
            let values = scalars(metadata, path);
            for (index, value) in values.iter().enumerate() {
                if values[..index].iter().any(|before| order(before, value).is_eq()) {
                    continue;
                }
                match expected.iter_mut().find(|(known, _)| order(known, value).is_eq()) {
                    Some((_, count)) => *count += 1,
                    None => expected.push((value.clone(), 1)),
                }
            }
        }
        expected.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| order(&a.0, &b.0)));
        let found = self.store.distinct(path, Some(filter)).unwrap();
        let same = |(a, b): (&(Value, u64), &(Value, u64))| order(&a.0, &b.0).is_eq() && a.1 == b.1;
        assert!(
            found.len() == expected.len() && found.iter().zip(&expected).all(same),
            "{path} where {filter}: expected {expected:?}, found {found:?}"
        );
    }

    /// Pages of one order, put together, are all matches in that order.
    fn check_pages(&self, filter: &Filter, path: Option<&str>, descending: bool, limit: usize) {
        let mut expected: Vec<(Option<Value>, &Id)> = (self.items.iter())
            .filter(|(id, (_, metadata))| filter.matches(id, metadata))
            .map(|(id, (_, metadata))| (path.and_then(|path| least(metadata, path)), id))
            .collect();
        let turned = |order: Ordering| if descending { order.reverse() } else { order };
        expected.sort_by(|a, b| match (&a.0, &b.0) {
            (Some(one), Some(other)) => turned(order(one, other)).then_with(|| a.1.cmp(b.1)),
            (None, None) if path.is_none() => turned(a.1.cmp(b.1)),
            (one, other) => one.is_none().cmp(&other.is_none()).then_with(|| a.1.cmp(b.1)),
        });
        let mut scan = self.store.scan_where(filter).unwrap().limit(limit);
        if let Some(path) = path {
            scan = scan.order_by(path);
        }
        if descending {
            scan = scan.descending();
        }
        let mut found = Vec::new();
        for _ in 0..4 {
            let page = scan.run().unwrap();
            assert!(page.len() == limit || found.len() + page.len() == expected.len());
            found.extend(page.iter().map(|item| item.id.clone()));
            let Some(last) = page.last() else { break };
            scan = scan.clone().after(last);
        }
        let expected = expected.iter().map(|(_, id)| *id).take(4 * limit);
        assert!(found.iter().eq(expected), "{filter} by {path:?}, descending: {descending}, {limit} a page");
    }
}

const FIELDS: [&str; 9] = ["year", "lang", "tags", "author.name", "author", "at", "raw", "a.b", "missing"];
const LANGUAGES: [&str; 4] = ["en", "de", "fr", ""];

fn random_scalar(rng: &mut StdRng) -> Value {
    match rng.random_range(0..12) {
        0..3 => rng.random_range(1990..2000).into(),
        3 => (f64::from(rng.random_range(3980..4000)) / 2.0).into(),
        4 => f64::NAN.into(),
        5 => Value::Bytes(vec![rng.random_range(0..3)]),
        6 => Timestamp::from_micros(rng.random_range(-2..3)).into(),
        7 => rng.random_bool(0.5).into(),
        8 => [i64::MAX, i64::MIN, (1 << 53) + 1][rng.random_range(0..3)].into(),
        9 => [9e18, -0.0, 9_007_199_254_740_992.0][rng.random_range(0..3)].into(),
        _ => LANGUAGES[rng.random_range(0..4)].into(),
    }
}

fn random_metadata(rng: &mut StdRng) -> Metadata {
    let mut metadata = Metadata::new();
    if rng.random_bool(0.8) {
        metadata.insert("year", rng.random_range(1990..2000));
    }
    if rng.random_bool(0.7) {
        metadata.insert("lang", LANGUAGES[rng.random_range(0..4)]);
    }
    if rng.random_bool(0.6) {
        let tags: Vec<Value> = (0..rng.random_range(0..4)).map(|_| random_scalar(rng)).collect();
        metadata.insert("tags", tags);
    }
    for key in ["at", "raw", "a.b", "author", "year", "lang"] {
        match rng.random_range(0..8) {
            0 => drop(metadata.insert(key, Value::Null)),
            1 => drop(metadata.insert(key, random_scalar(rng))),
            2 => {
                let keys = ["name", "b", "b.c", ""];
                let inner: Metadata = (0..2).map(|_| (keys[rng.random_range(0..4)], random_scalar(rng))).collect();
                metadata.insert(["author", "a", key][rng.random_range(0..3)], inner);
            }
            _ => {}
        }
    }
    metadata
}

/// Metadata whose nulls, lists and maps do what a patch does with them.
fn random_patch(rng: &mut StdRng) -> Metadata {
    random_metadata(rng).into_iter().filter(|_| rng.random_bool(0.6)).collect()
}

fn patched(before: &Metadata, patch: &Metadata) -> Metadata {
    let mut after = before.clone();
    for (key, value) in patch.iter() {
        match (value, before.get(key)) {
            (Value::Null, _) => drop(after.remove(key)),
            (Value::Map(inner), target) => {
                let target = match target {
                    Some(Value::Map(target)) => Metadata::from(target.clone()),
                    _ => Metadata::new(),
                };
                after.insert(key, patched(&target, &Metadata::from(inner.clone())));
            }
            (value, _) => drop(after.insert(key, value.clone())),
        }
    }
    after
}

fn random_filter(rng: &mut StdRng, depth: usize) -> Filter {
    if depth > 1 && rng.random_bool(0.6) {
        let (one, other) = (random_filter(rng, depth - 1), random_filter(rng, depth - 1));
        return [one.clone() & other.clone(), one.clone() | other, !one][rng.random_range(0..3)].clone();
    }
    let field = field(FIELDS[rng.random_range(0..FIELDS.len())]);
    let mut value = random_scalar(rng);
    while field.clone().ge(value.clone()).check().is_err() {
        value = random_scalar(rng);
    }
    match rng.random_range(0..13) {
        0 => field.is(value),
        1 => field.ne(value),
        2 => field.lt(value),
        3 => field.le(value),
        4 => field.gt(value),
        5 => field.ge(value),
        6 => field.between(value.clone(), value),
        7 => field.is_null(),
        8 => field.exists(),
        9 => field.starts_with(["", "e"][rng.random_range(0..2)]),
        10 => field.contains(["r", "zz"][rng.random_range(0..2)]),
        11 => ids((0..20).map(|_| rng.random_range(0..IDS))) | ids(["item 3", "item 0"]),
        _ => field.is_in((0..4).map(|_| Value::from(rng.random_range(1990..2000))).chain([value, true.into()])),
    }
}

/// The values of a field: written here once more, from what is documented.
pub(crate) fn scalars(metadata: &Metadata, path: &str) -> Vec<Value> {
    match metadata.at(path) {
        None | Some(Value::Null | Value::Map(_)) => Vec::new(),
        Some(Value::List(values)) => values.iter().filter(|value| **value != Value::Null).cloned().collect(),
        Some(scalar) => vec![scalar.clone()],
    }
}

fn least(metadata: &Metadata, path: &str) -> Option<Value> {
    scalars(metadata, path).into_iter().min_by(order)
}

/// The documented order of values.
pub(crate) fn order(left: &Value, right: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Bool(_) => 0,
        Value::Integer(_) => 1,
        Value::Float(number) => 1 + u8::from(number.is_nan()),
        Value::Text(_) => 3,
        Value::Bytes(_) => 4,
        Value::Timestamp(_) => 5,
        other => panic!("no scalar: {other:?}"),
    };
    rank(left).cmp(&rank(right)).then_with(|| match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::Text(left), Value::Text(right)) => left.cmp(right),
        (Value::Bytes(left), Value::Bytes(right)) => left.cmp(right),
        (Value::Timestamp(left), Value::Timestamp(right)) => left.cmp(right),
        // Every number here is a multiple of a half within what 128 bits hold.
        (left, right) => halves(left).cmp(&halves(right)),
    })
}

fn halves(number: &Value) -> i128 {
    match number {
        Value::Integer(number) => 2 * i128::from(*number),
        Value::Float(number) => (2.0 * number) as i128,
        other => panic!("no number: {other:?}"),
    }
}
