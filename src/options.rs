//! How a store is created and opened.

use crate::types::Metric;

/// What an acknowledged write has survived when the call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// On disk: it survives kill -9 and power loss. Two fsyncs a commit.
    #[default]
    Immediate,
    /// In the row database's memory: a crash, or a failure of the disk while the store is open, loses the writes since
    /// the last [`flush`](crate::Store::flush) or [`close`](crate::Store::close), never a part of a batch. No fsync.
    Buffered,
}

/// Who runs flushes and compactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Maintenance {
    /// A worker thread of the store.
    #[default]
    Background,
    /// Nobody, until [`flush`](crate::Store::flush) or [`compact`](crate::Store::compact) is called. Items that no
    /// segment holds stay searchable, exactly and more slowly.
    Manual,
}

/// How segments hold the vectors that searches measure exact distances with.
///
/// Rows always hold them as they were given, so this can be changed at any time: [`Store::compact`](crate::Store::compact)
/// builds segments in the new form. Distances of rounded vectors are rounded as well, unless a query asks for
/// [`exact_distances`](crate::Query::exact_distances); [`exact`](crate::Query::exact) searches read the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SegmentVectors {
    /// As they were given: 4 bytes a component.
    #[default]
    Float32,
    /// 2 bytes a component, rounded by one part in 2,048 at most, or a part in 2^24 of the largest one.
    Float16,
    /// A byte a component, in 255 steps from the vector's least component to its largest.
    Int8,
}

/// Options of [`Store::open_with`](crate::Store::open_with).
///
/// The first group is fixed when the store is created; on an existing store it is only compared. The second group
/// holds for one opening.
///
/// ```
/// use understory::{Metric, Options, Store};
/// # let dir = tempfile::tempdir().unwrap();
/// let options = Options::new().metric(Metric::Euclidean).dimension(3);
/// let store = Store::open_with(dir.path().join("a.understory"), options)?;
/// assert_eq!(store.metric(), Metric::Euclidean);
/// # Ok::<(), understory::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) metric: Option<Metric>,
    pub(crate) dimension: Option<usize>,
    pub(crate) create: bool,
    pub(crate) read_only: bool,
    pub(crate) durability: Durability,
    pub(crate) cache_bytes: usize,
    pub(crate) threads: usize,
    pub(crate) maintenance: Maintenance,
    /// Whether flushes take small segments into what they build.
    pub(crate) merges: bool,
    pub(crate) segment: SegmentOptions,
    /// Items of a delta beyond which a batch becomes an unbuilt part, if a test wants other than what is usual.
    pub(crate) delta_items: Option<usize>,
}

/// How segments are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentOptions {
    pub(crate) trees: usize,
    pub(crate) leaf_items: usize,
    pub(crate) refinements: usize,
    /// Bytes of vectors that a build holds in memory at most.
    pub(crate) memory: usize,
    pub(crate) vectors: SegmentVectors,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        SegmentOptions {
            trees: 1,
            leaf_items: 48,
            refinements: 5,
            memory: usize::MAX,
            vectors: SegmentVectors::Float32,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            metric: None,
            dimension: None,
            create: true,
            read_only: false,
            durability: Durability::default(),
            cache_bytes: 64 << 20,
            threads: 0,
            maintenance: Maintenance::default(),
            merges: true,
            segment: SegmentOptions::default(),
            delta_items: None,
        }
    }
}

impl Options {
    /// The defaults, which fit most applications.
    pub fn new() -> Options {
        Options::default()
    }

    /// Created with: the metric. Default: cosine for a new store, whatever is stored for an existing one.
    #[must_use]
    pub fn metric(mut self, metric: Metric) -> Options {
        self.metric = Some(metric);
        self
    }

    /// Created with: the dimension. Default: that of the first vector inserted.
    #[must_use]
    pub fn dimension(mut self, dimension: usize) -> Options {
        self.dimension = Some(dimension);
        self
    }

    /// Whether a missing store is created. Default: true.
    #[must_use]
    pub fn create(mut self, create: bool) -> Options {
        self.create = create;
        self
    }

    /// Whether the store is only read: see [`Store::open_read_only`](crate::Store::open_read_only). Default: false.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Options {
        self.read_only = read_only;
        self
    }

    /// What an acknowledged write has survived. Default: [`Durability::Immediate`].
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Options {
        self.durability = durability;
        self
    }

    /// Bytes of row pages kept in memory. Default: 64 MiB. Searches read maps and the delta, not this cache; raise it
    /// only for many calls of [`get`](crate::Store::get).
    #[must_use]
    pub fn cache_size(mut self, bytes: usize) -> Options {
        self.cache_bytes = bytes;
        self
    }

    /// Threads of a build and of [`search_batch`](crate::Store::search_batch). Default: 0, all cores; the
    /// worker then leaves one of them to searches. At most 1,024. The built bytes do not depend on it.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Options {
        self.threads = threads;
        self
    }

    /// How segments that are built from now on hold their vectors. Default: [`SegmentVectors::Float32`]. Of hamming
    /// stores they hold the bits, whatever this says.
    ///
    /// ```
    /// use understory::{Options, SegmentVectors, Store};
    /// # let dir = tempfile::tempdir().unwrap();
    /// let options = Options::new().segment_vectors(SegmentVectors::Float16);
    /// let store = Store::open_with(dir.path().join("a.understory"), options)?;
    /// store.insert("third", &[1.0, 1.0 / 3.0])?;
    /// store.flush()?;
    /// let hits = store.query(&[1.0, 0.3])?.exact_distances(true).run()?;
    /// assert_eq!(hits, store.query(&[1.0, 0.3])?.exact().run()?);
    /// assert_eq!(store.get("third")?.unwrap().vector, [1.0, 1.0 / 3.0]);
    /// # Ok::<(), understory::Error>(())
    /// ```
    #[must_use]
    pub fn segment_vectors(mut self, vectors: SegmentVectors) -> Options {
        self.segment.vectors = vectors;
        self
    }

    /// Who runs flushes and compactions. Default: [`Maintenance::Background`].
    #[must_use]
    pub fn maintenance(mut self, maintenance: Maintenance) -> Options {
        self.maintenance = maintenance;
        self
    }

    /// Whether a flush takes the small segments beside what it builds into it. Default: true, which keeps segments few.
    /// Without it every flush leaves a segment: a load in many pieces builds each item once before a final
    /// [`compact`](crate::Store::compact), and searches until then slow down with every segment.
    #[must_use]
    pub fn merges(mut self, merges: bool) -> Options {
        self.merges = merges;
        self
    }

    /// Bytes of vectors that a flush or a compaction holds in memory at most. Default: no bound; a build then holds
    /// each vector twice, as given and as coded, which is 8 bytes a component (3 GB for a million items of dimension
    /// 384).
    ///
    /// What goes beyond it is in temporary files in the store's directory, of the size that is saved; the build reads
    /// them through maps, so it stays quick while the system has memory to spare for its page cache. The built bytes
    /// do not depend on it. Not bounded by it: ids, metadata and codes, together a tenth to a third of one copy
    /// of the vectors.
    #[must_use]
    pub fn build_memory(mut self, bytes: usize) -> Options {
        self.segment.memory = bytes;
        self
    }

    /// Trees of a segment's forest, 1 to 64. Default: 1. Each further tree finds more for the same effort, and costs its own
    /// codes on disk and its own time to build.
    #[must_use]
    pub fn trees(mut self, trees: usize) -> Options {
        self.segment.trees = trees;
        self
    }
}
