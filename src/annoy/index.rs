//! The index that callers hold: its life, and what each stage of it allows.
//!
//! Items are added, then trees are built over them; trees are forgotten before further items come. An index that was
//! loaded or saved is its file, mapped, and read-only.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use parking_lot::Mutex;

use super::build::{self, Plan};
use super::code::Codes;
use super::disk::{self, Growing};
use super::layout::{Layout, Node, NodeMut, Nodes};
use super::measure::Measure;
use super::open;
use super::search::{self, Forest, Scratch};
use super::{Format, Metric};
use crate::error::{Error, Result};
use crate::fs::Map;

/// The seed of an index that none was given.
const DEFAULT_SEED: u64 = 1_234_567_890_987_654_321;

/// Annoy's index: items, a forest of random trees over them, and the file that holds both.
///
/// Searches take `&self` and may run on any number of threads at once. See the [module](super) for an example.
pub struct AnnoyIndex {
    layout: Layout,
    storage: Storage,
    /// One more than the largest id.
    item_count: usize,
    /// None before the trees are built.
    roots: Vec<u32>,
    seed: u64,
    verbose: bool,
    /// Whether codes are kept, and those of these items, once something asked for them and if they are of use.
    coded: bool,
    codes: OnceLock<Option<Codes>>,
    scratch: Mutex<Vec<Scratch>>,
}

/// Where the nodes are.
enum Storage {
    Memory(Vec<u32>),
    /// Items of an index that is built on disk, before its trees are.
    Growing(Growing),
    /// `lent`: loaded or saved, so read-only; otherwise built on disk.
    Mapped {
        map: Map,
        path: PathBuf,
        lent: bool,
    },
}

fn refused(what: impl Into<String>) -> Error {
    Error::InvalidArgument(what.into())
}

impl AnnoyIndex {
    /// An empty index of vectors with `f` components.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if `f` is 0 or above 16,777,216.
    pub fn new(f: usize, metric: Metric) -> Result<AnnoyIndex> {
        AnnoyIndex::with_format(f, metric, Format::default())
    }

    /// An empty index that reads and writes the files of another Annoy than 1.17.
    pub fn with_format(f: usize, metric: Metric, format: Format) -> Result<AnnoyIndex> {
        Ok(AnnoyIndex {
            layout: Layout::new(f, metric, format)?,
            storage: Storage::Memory(Vec::new()),
            item_count: 0,
            roots: Vec::new(),
            seed: DEFAULT_SEED,
            verbose: false,
            coded: true,
            codes: OnceLock::new(),
            scratch: Mutex::new(Vec::new()),
        })
    }

    /// The number of components of a vector.
    pub fn f(&self) -> usize {
        self.layout.dimension
    }

    /// The metric.
    pub fn metric(&self) -> Metric {
        self.layout.metric
    }

    /// Adds a vector, or replaces the one of that id. Ids may come in any order and leave holes; memory is taken for
    /// all ids up to the largest.
    ///
    /// # Errors
    ///
    /// If the index has trees or was loaded or saved; if the id is 2^31 - 1 or more; if the vector has another length
    /// than `f`, or a component that is not finite.
    pub fn add_item(&mut self, item: usize, vector: &[f32]) -> Result<()> {
        self.expect_growing("add an item")?;
        if item >= i32::MAX as usize {
            return Err(refused(format!("expected an id below {}, found {item}", i32::MAX)));
        }
        self.layout.check(vector)?;
        let layout = self.layout;
        let mut words = vec![0; layout.node];
        let mut node = NodeMut { layout: &layout, words: &mut words };
        node.set_descendants(1);
        node.set_vector(&layout.encode(vector));
        if layout.metric == Metric::Angular {
            let norm = Measure::new(&layout).squared_norm(Node::new(&layout, node.words).vector());
            node.set_squared_norm(norm);
        }
        match &mut self.storage {
            Storage::Growing(file) => file.put(&layout, item, &words)?,
            Storage::Memory(nodes) => {
                let end = (item + 1).saturating_mul(layout.node);
                if nodes.len() < end {
                    nodes.try_reserve(end - nodes.len()).map_err(|_| {
                        let bytes = end.saturating_mul(size_of::<u32>());
                        refused(format!("expected an id whose predecessors fit memory, found {item} ({bytes} bytes)"))
                    })?;
                    nodes.resize(end, 0);
                }
                nodes[end - layout.node..end].copy_from_slice(&words);
            }
            Storage::Mapped { .. } => return Err(refused("expected an index to add to, found a mapped file")),
        }
        self.item_count = self.item_count.max(item + 1);
        Ok(())
    }

    /// Builds `n_trees` trees (-1: until they have as many nodes as there are items) on `n_jobs` threads (-1: as many
    /// as there are processors). The trees depend on the items and the seed alone, not on the threads.
    ///
    /// # Errors
    ///
    /// If the index has trees already or was loaded or saved; if a number is 0 or below -1.
    pub fn build(&mut self, n_trees: i32, n_jobs: i32) -> Result<()> {
        self.expect_growing("build")?;
        let trees = count_or_all("n_trees", i64::from(n_trees))?;
        let threads = match count_or_all("n_jobs", i64::from(n_jobs))? {
            None => std::thread::available_parallelism().map_or(1, usize::from),
            Some(jobs) => jobs,
        };
        if self.layout.metric == Metric::Dot && self.layout.format == Format::Unreleased {
            return Err(refused(
                "expected to build a dot index in the format of a release, found Format::Unreleased",
            ));
        }
        self.fill_dot_factors()?;
        let plan = Plan { trees, threads, seed: self.seed };
        let verbose = self.verbose;
        let note = |number: usize, nodes: usize| {
            if verbose {
                eprintln!("annoy: tree {number} has {nodes} nodes");
            }
        };
        let codes = Codes::new(&self.layout, self.item_count);
        match std::mem::replace(&mut self.storage, Storage::Memory(Vec::new())) {
            Storage::Growing(mut file) => {
                let opened = build::in_file(&self.layout, self.item_count, &mut file, codes.as_ref(), plan, &note)
                    .and_then(|roots| Ok((roots, Map::open(file.path())?)));
                match opened {
                    Ok((roots, map)) => {
                        self.storage = Storage::Mapped { map, path: file.path().to_owned(), lent: false };
                        self.roots = roots;
                    }
                    Err(error) => {
                        let _ = file.truncate(&self.layout, self.item_count);
                        self.storage = Storage::Growing(file);
                        return Err(error);
                    }
                }
            }
            Storage::Memory(mut nodes) => {
                let grown = build::in_memory(&self.layout, &mut nodes, codes.as_ref(), plan, &note);
                self.storage = Storage::Memory(nodes);
                self.roots = grown?;
            }
            mapped @ Storage::Mapped { .. } => self.storage = mapped,
        }
        if self.coded {
            self.codes = OnceLock::from(codes);
        }
        Ok(())
    }

    /// Forgets the trees, so that items can be added again.
    ///
    /// # Errors
    ///
    /// If the index was loaded or saved.
    pub fn unbuild(&mut self) -> Result<()> {
        match &mut self.storage {
            Storage::Memory(nodes) => nodes.truncate(self.item_count * self.layout.node),
            Storage::Growing(_) => {}
            Storage::Mapped { lent: true, path, .. } => {
                return Err(refused(format!("expected an index to unbuild, found {} loaded", path.display())));
            }
            Storage::Mapped { map, path, .. } => {
                let words = open::whole_nodes(&self.layout, map, path)?;
                let items = words.get(..self.item_count * self.layout.node).unwrap_or(words);
                let file = Growing::restart(path, items)?;
                self.storage = Storage::Growing(file);
            }
        }
        self.roots.clear();
        self.codes = OnceLock::new();
        Ok(())
    }

    /// Writes the index to a file, which replaces one of that name at once and survives a power cut when this
    /// returns. The index is the mapped file from then on: read-only.
    ///
    /// # Errors
    ///
    /// If the index has no trees, or the system refuses.
    pub fn save(&mut self, path: impl AsRef<Path>, prefault: bool) -> Result<()> {
        let path = path.as_ref();
        self.expect_trees()?;
        let Some(nodes) = self.nodes()? else { return Err(no_trees()) };
        disk::replace(path, nodes.words())?;
        let item_count = self.item_count;
        self.map(path, prefault)?;
        // Codes are those of the same items.
        if self.item_count != item_count {
            self.codes = OnceLock::new();
        }
        if prefault { self.make_codes() } else { Ok(()) }
    }

    /// Maps a file, whatever the index held before. `prefault` reads all of it first and makes the codes of all items.
    /// Nothing else may change the file's bytes while it is mapped; replacing it by another is harmless.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened, or cannot be of this metric and number of components as far as the bytes tell.
    /// The index is unchanged then.
    pub fn load(&mut self, path: impl AsRef<Path>, prefault: bool) -> Result<()> {
        self.map(path.as_ref(), prefault)?;
        self.codes = OnceLock::new();
        if prefault { self.make_codes() } else { Ok(()) }
    }

    fn map(&mut self, path: &Path, prefault: bool) -> Result<()> {
        let map = Map::open(path)?;
        let words = open::whole_nodes(&self.layout, &map, path)?;
        if prefault {
            const PAGE_WORDS: usize = 4096 / size_of::<u32>();
            std::hint::black_box(words.iter().step_by(PAGE_WORDS).fold(0, |sum, word| sum ^ word));
        }
        let contents = open::contents(Nodes::new(&self.layout, words), path)?;
        if self.verbose {
            let (items, trees) = (contents.item_count, contents.roots.len());
            eprintln!("annoy: {} has {items} items and {trees} trees", path.display());
        }
        self.item_count = contents.item_count;
        self.roots = contents.roots;
        self.storage = Storage::Mapped { map, path: path.to_owned(), lent: true };
        Ok(())
    }

    /// Makes the codes of all items, if they are of use.
    fn make_codes(&self) -> Result<()> {
        if !self.coded {
            return Ok(());
        }
        let codes = self.codes.get_or_init(|| Codes::new(&self.layout, self.item_count));
        if let (Some(codes), Some(nodes)) = (codes, self.nodes()?) {
            codes.make_all(nodes);
        }
        Ok(())
    }

    fn codes(&self) -> Option<&Codes> {
        let codes = || {
            self.codes.get_or_init(|| Codes::new(&self.layout, self.item_count).map(Codes::of_what_is_met)).as_ref()
        };
        if self.coded { codes() } else { None }
    }

    /// Lets go of the file or the memory: the index is as new.
    pub fn unload(&mut self) {
        self.storage = Storage::Memory(Vec::new());
        self.item_count = 0;
        self.roots.clear();
        self.codes = OnceLock::new();
        self.seed = DEFAULT_SEED;
    }

    /// Keeps items and trees in a file instead of memory, from the first item on; [`build`](AnnoyIndex::build)
    /// completes it. A file of that name is replaced.
    ///
    /// # Errors
    ///
    /// If the index has items already, or the file cannot be created.
    pub fn on_disk_build(&mut self, path: impl AsRef<Path>) -> Result<()> {
        if self.item_count > 0 || !matches!(self.storage, Storage::Memory(_)) {
            let what = format!("expected on_disk_build before the first item, found {} items", self.item_count);
            return Err(refused(what));
        }
        self.storage = Storage::Growing(Growing::create(path.as_ref())?);
        Ok(())
    }

    /// The `n` nearest items of a stored one, nearest first, the item itself among them. `search_k` is how many
    /// candidates to collect, those that several trees yield counted each time (-1: `n` for each tree).
    ///
    /// # Errors
    ///
    /// If no item has the id, the index has no trees, `search_k` is 0 or below -1, or the file is damaged.
    pub fn get_nns_by_item(&self, item: usize, n: usize, search_k: i64) -> Result<Vec<(usize, f32)>> {
        self.expect_trees()?;
        let words = self.item_words(item)?;
        self.nearest(&words, n, search_k)
    }

    /// The `n` nearest items of a vector, nearest first. See [`get_nns_by_item`](AnnoyIndex::get_nns_by_item).
    pub fn get_nns_by_vector(&self, vector: &[f32], n: usize, search_k: i64) -> Result<Vec<(usize, f32)>> {
        self.layout.check(vector)?;
        match self.layout.metric {
            Metric::Hamming => self.nearest(&self.layout.encode(vector), n, search_k),
            _ => self.nearest(bytemuck::cast_slice(vector), n, search_k),
        }
    }

    /// The vector of an item; zeros for a hole.
    pub fn get_item_vector(&self, item: usize) -> Result<Vec<f32>> {
        Ok(self.layout.decode(&self.item_words(item)?))
    }

    /// Whether a vector was added under this id: ids that were left out below the largest are holes.
    pub fn has_item(&self, item: usize) -> Result<bool> {
        Ok(item < self.item_count && self.item_node(item)?.first().is_some_and(|&descendants| descendants != 0))
    }

    /// The distance of two items. For dot, the product.
    pub fn get_distance(&self, i: usize, j: usize) -> Result<f32> {
        let (first, second) = (self.item_node(i)?, self.item_node(j)?);
        let measure = Measure::new(&self.layout);
        let first = Node::new(&self.layout, &first);
        Ok(measure.shown(measure.raw(&measure.probe(first.vector()), Node::new(&self.layout, &second))))
    }

    /// One more than the largest id: holes count.
    pub fn get_n_items(&self) -> usize {
        self.item_count
    }

    /// The number of trees.
    pub fn get_n_trees(&self) -> usize {
        self.roots.len()
    }

    /// Seeds the next build.
    pub fn set_seed(&mut self, seed: u64) {
        self.seed = seed;
    }

    /// Whether builds and loads say on standard error what they do.
    pub fn verbose(&mut self, verbose: bool) {
        self.verbose = verbose;
    }

    /// Whether a code of each item is kept, a byte a component: true unless this says otherwise. Searches read it in place
    /// of the vector, a quarter of the bytes, and measure exactly what it cannot exclude: answers and distances are the
    /// same, two to three times as fast. Codes are made by a build, by a load that is asked to `prefault`, or by searches, of
    /// some of what each meets that another met before. They are this process's own memory, at most a quarter of the
    /// vectors and 48 bytes an item; a build needs that much in any case, and frees it if codes are not kept. There are
    /// none under hamming, below about 32 components, or of vectors that take less than 2 MiB together.
    pub fn candidate_codes(&mut self, keep: bool) {
        self.coded = keep;
        if !keep {
            self.codes = OnceLock::new();
        }
    }

    /// The item's own bytes, as far as they can be checked.
    pub(super) fn check_item(&self, item: usize) -> Result<()> {
        match (self.nodes()?, &self.storage) {
            (Some(nodes), Storage::Mapped { path, .. }) => open::check_item(nodes, item, path),
            _ => Ok(()),
        }
    }

    fn nearest(&self, words: &[u32], n: usize, search_k: i64) -> Result<Vec<(usize, f32)>> {
        self.expect_trees()?;
        let budget = count_or_all("search_k", search_k)?.unwrap_or(n.saturating_mul(self.roots.len()));
        let Some(nodes) = self.nodes()? else { return Err(no_trees()) };
        let path = match &self.storage {
            Storage::Mapped { path, .. } => path.as_path(),
            _ => Path::new("the index in memory"),
        };
        let forest = Forest { nodes, item_count: self.item_count, roots: &self.roots, codes: self.codes(), path };
        let mut scratch = self.scratch.lock().pop().unwrap_or_default();
        let found = search::nearest(forest, words, n, budget, &mut scratch);
        self.scratch.lock().push(scratch);
        let measure = Measure::new(&self.layout);
        Ok(found?.into_iter().map(|(item, raw)| (item as usize, measure.shown(raw))).collect())
    }

    /// The nodes that can be looked at; `None` while they are in a file that grows.
    fn nodes(&self) -> Result<Option<Nodes<'_>>> {
        let words = match &self.storage {
            Storage::Memory(words) => words,
            Storage::Mapped { map, path, .. } => open::whole_nodes(&self.layout, map, path)?,
            Storage::Growing(_) => return Ok(None),
        };
        Ok(Some(Nodes::new(&self.layout, words)))
    }

    fn item_node(&self, item: usize) -> Result<Vec<u32>> {
        if item >= self.item_count {
            return Err(refused(format!("expected an item below {}, found {item}", self.item_count)));
        }
        match &self.storage {
            Storage::Growing(file) => file.get(&self.layout, item),
            _ => {
                self.nodes()?.and_then(|nodes| nodes.get(item)).map(|node| node.words().to_vec()).ok_or_else(no_trees)
            }
        }
    }

    fn item_words(&self, item: usize) -> Result<Vec<u32>> {
        Ok(self.item_node(item)?.split_off(self.layout.vector))
    }

    fn expect_growing(&self, action: &str) -> Result<()> {
        match &self.storage {
            Storage::Mapped { lent: true, path, .. } => {
                let path = path.display();
                Err(refused(format!("expected an index to {action} to, found {path} loaded, which is read-only")))
            }
            _ if !self.roots.is_empty() => {
                let trees = self.roots.len();
                Err(refused(format!(
                    "expected an index without trees to {action}, found {trees} (unbuild them first)"
                )))
            }
            _ => Ok(()),
        }
    }

    fn expect_trees(&self) -> Result<()> {
        if self.roots.is_empty() { Err(no_trees()) } else { Ok(()) }
    }
}

fn no_trees() -> Error {
    refused("expected an index with trees, found one without (build or load it first)")
}

/// A count of at least 1, or -1 for all that make sense.
fn count_or_all(name: &str, value: i64) -> Result<Option<usize>> {
    match value {
        -1 => Ok(None),
        1.. => Ok(Some(usize::try_from(value).unwrap_or(usize::MAX))),
        _ => Err(refused(format!("expected {name} of -1 or at least 1, found {value}"))),
    }
}

/// Building, in memory and in a file.
impl AnnoyIndex {
    /// Gives all vectors of a dot index one length: that of the longest.
    fn fill_dot_factors(&mut self) -> Result<()> {
        if self.layout.metric != Metric::Dot {
            return Ok(());
        }
        let (layout, item_count) = (self.layout, self.item_count);
        let measure = Measure::new(&layout);
        let squared = |node: &NodeMut<'_>| measure.squared_norm(Node::new(&layout, node.words).vector());
        let mut each = |change: &mut dyn FnMut(&mut NodeMut<'_>)| match &mut self.storage {
            Storage::Growing(file) => file.update(&layout, item_count, change),
            Storage::Memory(words) => {
                for words in words.chunks_exact_mut(layout.node) {
                    change(&mut NodeMut { layout: &layout, words });
                }
                Ok(())
            }
            Storage::Mapped { .. } => Ok(()),
        };
        let mut longest = 0.0f32;
        each(&mut |node| longest = longest.max(squared(node)))?;
        each(&mut |node| {
            let factor = (longest - squared(node)).max(0.0).sqrt();
            node.set_dot_factor(factor);
        })
    }
}
