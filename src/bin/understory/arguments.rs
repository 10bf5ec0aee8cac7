//! The command line, parsed to one value before anything is opened.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::*;
use understory::{Filter, Id, Metric, SegmentVectors};

use crate::failure::{Failure, Result};

pub(crate) const HELP: &str = "\
Keeps vectors with ids and metadata in a directory, and finds the nearest ones.

usage: understory COMMAND ...

  import STORE FILE [--metric cosine|euclidean|dot|manhattan|hamming] [--dim N] [--ids FILE] [--metadata FILE.jsonl] [--text-id] [--vectors float32|float16|int8] [--json]
      Adds the vectors of FILE (.npy, .fvecs, .bvecs, .jsonl, Annoy's .ann with --dim), creating the store if it is
      missing. Ids are row numbers unless given, one a line; metadata is one JSON object a line, in row order. Ends
      compacted.

  search STORE (--query FILE [--row N] | --near ID) [-k 10] [--filter EXPR] [--recall R | --effort N | --exact]
         [--text-id] [--json]
      Prints the k nearest items of a vector, or of a stored item, nearest first.

  count STORE [--filter EXPR] [--json]
      Prints how many items there are, or how many match.

  bench STORE --queries FILE (--truth FILE.npy | --filter EXPR) [-k 10] [--exact-distances] [--json]
      Measures recall and speed, from low effort to exact, on one thread. Truth is a table of row numbers; the
      store's ids must be row numbers too. With a filter the truth is what an exact search finds.

  stats STORE [--json]
      Items, segments, bytes on disk and in memory.

  verify STORE
      Checks every checksum and structure; exit code 1 if anything is wrong.

  compact STORE
      Merges all segments into one and gives unused disk space back.

  export STORE FILE.ann [--trees 10]
      Writes the vectors as an Annoy index, which Annoy 1.17 loads. Ids must be numbers.

  salvage STORE DEST [--json]
      Writes whatever is intact of a damaged store into a new one at DEST. The damaged store is not changed.

search, count, bench, stats, verify and export change nothing and may run beside each other; a store that was not closed
cleanly they first open for writing, to recover it.
EXPR is a filter such as 'year >= 2020 and lang in (\"en\", \"de\") and not draft = true'; see docs/filters.md.
Ids of digits are numbers, unless --text-id says that all are texts. --json prints one JSON object a line.
Exit codes: 0 done, 1 failed, 2 wrong usage.";

const DEFAULT_K: usize = 10;
const DEFAULT_TREES: i32 = 10;

#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    Help,
    Version,
    Import(Import),
    Search(Search),
    Count { store: PathBuf, filter: Option<Filter>, json: bool },
    Bench(Bench),
    Stats { store: PathBuf, json: bool },
    Verify { store: PathBuf },
    Compact { store: PathBuf },
    Salvage { store: PathBuf, target: PathBuf, json: bool },
    Export(Export),
}

#[derive(Debug, PartialEq)]
pub(crate) struct Import {
    pub(crate) store: PathBuf,
    pub(crate) file: PathBuf,
    pub(crate) metric: Option<Metric>,
    pub(crate) vectors: SegmentVectors,
    /// Of an .ann file.
    pub(crate) dim: Option<usize>,
    pub(crate) ids: Option<PathBuf>,
    pub(crate) metadata: Option<PathBuf>,
    pub(crate) text_id: bool,
    pub(crate) json: bool,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Export {
    pub(crate) store: PathBuf,
    pub(crate) file: PathBuf,
    pub(crate) trees: i32,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Search {
    pub(crate) store: PathBuf,
    pub(crate) target: Target,
    pub(crate) k: usize,
    pub(crate) filter: Option<Filter>,
    pub(crate) effort: Effort,
    pub(crate) json: bool,
}

/// What a search looks near to.
#[derive(Debug, PartialEq)]
pub(crate) enum Target {
    Row { file: PathBuf, row: u64 },
    Item(Id),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Effort {
    Default,
    Recall(f32),
    Items(usize),
    Exact,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Bench {
    pub(crate) store: PathBuf,
    pub(crate) queries: PathBuf,
    pub(crate) truth: Truth,
    pub(crate) k: usize,
    /// Where segments have rounded vectors, hits are measured by their rows.
    pub(crate) exact_distances: bool,
    pub(crate) json: bool,
}

/// What answers are compared with.
#[derive(Debug, PartialEq)]
pub(crate) enum Truth {
    File(PathBuf),
    /// What an exact search finds under this filter.
    Filtered(Filter),
}

/// Parses the arguments after the program's name.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let name = match parser.next()? {
        Some(Short('h') | Long("help")) => return Ok(Command::Help),
        Some(Short('V') | Long("version")) => return Ok(Command::Version),
        Some(Value(name)) => name,
        Some(other) => return Err(other.unexpected().into()),
        None => return Err(usage("expected a command, found none")),
    };
    match name.to_str() {
        Some("import") => {
            import(Options::read(parser, &["metric", "dim", "ids", "metadata", "text-id", "vectors", "json"])?)
        }
        Some("search") => {
            let known = ["query", "row", "near", "k", "filter", "recall", "effort", "exact", "text-id", "json"];
            search(Options::read(parser, &known)?)
        }
        Some("bench") => {
            bench(Options::read(parser, &["queries", "truth", "filter", "k", "exact-distances", "json"])?)
        }
        Some("count") => Options::read(parser, &["filter", "json"])?.finish(|options| {
            Ok(Command::Count { store: options.path("STORE")?, filter: options.filter.take(), json: options.json })
        }),
        Some("stats") => Options::read(parser, &["json"])?
            .finish(|options| Ok(Command::Stats { store: options.path("STORE")?, json: options.json })),
        Some("verify") => {
            Options::read(parser, &[])?.finish(|options| Ok(Command::Verify { store: options.path("STORE")? }))
        }
        Some("compact") => {
            Options::read(parser, &[])?.finish(|options| Ok(Command::Compact { store: options.path("STORE")? }))
        }
        Some("salvage") => Options::read(parser, &["json"])?.finish(|options| {
            let (store, target) = (options.path("STORE")?, options.path("DEST")?);
            Ok(Command::Salvage { store, target, json: options.json })
        }),
        Some("export") => Options::read(parser, &["trees"])?.finish(|options| {
            let trees = options.trees.unwrap_or(DEFAULT_TREES);
            Ok(Command::Export(Export { store: options.path("STORE")?, file: options.path("FILE")?, trees }))
        }),
        Some("help") => Ok(Command::Help),
        _ => Err(usage(format!(
            "expected a command import, search, count, bench, stats, verify, compact, export or salvage, found {name:?}"
        ))),
    }
}

fn usage(what: impl Into<String>) -> Failure {
    Failure::Usage(what.into())
}

/// Every option there is, as given; which of them a command knows is checked while reading.
#[derive(Default)]
struct Options {
    help: bool,
    paths: std::collections::VecDeque<PathBuf>,
    metric: Option<Metric>,
    vectors: SegmentVectors,
    exact_distances: bool,
    dim: Option<usize>,
    trees: Option<i32>,
    ids: Option<PathBuf>,
    metadata: Option<PathBuf>,
    query: Option<PathBuf>,
    row: Option<u64>,
    near: Option<String>,
    queries: Option<PathBuf>,
    truth: Option<PathBuf>,
    k: Option<usize>,
    filter: Option<Filter>,
    recall: Option<f32>,
    effort: Option<usize>,
    exact: bool,
    text_id: bool,
    json: bool,
}

impl Options {
    fn read(mut parser: lexopt::Parser, known: &[&str]) -> Result<Options> {
        let mut options = Options::default();
        while let Some(argument) = parser.next()? {
            let name = match argument {
                Value(path) => {
                    options.paths.push_back(path.into());
                    continue;
                }
                Short('h') | Long("help") => {
                    options.help = true;
                    return Ok(options);
                }
                Short('k') if known.contains(&"k") => "k".to_owned(),
                // -k has no long form.
                Long(name) if name != "k" && known.contains(&name) => name.to_owned(),
                other => return Err(other.unexpected().into()),
            };
            options.set(&name, &mut parser)?;
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, parser: &mut lexopt::Parser) -> Result<()> {
        match name {
            "metric" => {
                let name = parser.value()?.string()?;
                self.metric = Some(name.parse().map_err(|error: understory::Error| usage(error.to_string()))?);
            }
            "vectors" => {
                self.vectors = match parser.value()?.string()?.as_str() {
                    "float32" => SegmentVectors::Float32,
                    "float16" => SegmentVectors::Float16,
                    "int8" => SegmentVectors::Int8,
                    other => return Err(usage(format!("expected float32, float16 or int8, found {other}"))),
                }
            }
            "exact-distances" => self.exact_distances = true,
            "dim" => self.dim = Some(parser.value()?.parse()?),
            "trees" => self.trees = Some(parser.value()?.parse()?),
            "ids" => self.ids = Some(parser.value()?.into()),
            "metadata" => self.metadata = Some(parser.value()?.into()),
            "query" => self.query = Some(parser.value()?.into()),
            "row" => self.row = Some(parser.value()?.parse()?),
            "near" => self.near = Some(parser.value()?.string()?),
            "queries" => self.queries = Some(parser.value()?.into()),
            "truth" => self.truth = Some(parser.value()?.into()),
            "k" => self.k = Some(parser.value()?.parse()?),
            "filter" => {
                let text = parser.value()?.string()?;
                self.filter = Some(Filter::parse(&text).map_err(|error| usage(error.to_string()))?);
            }
            "recall" => self.recall = Some(parser.value()?.parse()?),
            "effort" => self.effort = Some(parser.value()?.parse()?),
            "exact" => self.exact = true,
            "text-id" => self.text_id = true,
            "json" => self.json = true,
            other => return Err(usage(format!("unknown option --{other}"))),
        }
        Ok(())
    }

    fn path(&mut self, what: &str) -> Result<PathBuf> {
        self.paths.pop_front().ok_or_else(|| usage(format!("expected {what}, found the end of the arguments")))
    }

    /// Makes the command, then refuses paths that are left over. `--help` goes before every complaint.
    fn finish(mut self, make: impl FnOnce(&mut Options) -> Result<Command>) -> Result<Command> {
        if self.help {
            return Ok(Command::Help);
        }
        let command = make(&mut self)?;
        match self.paths.pop_front() {
            Some(path) => Err(usage(format!("unexpected argument {path:?}"))),
            None => Ok(command),
        }
    }

    fn effort(&self) -> Result<Effort> {
        match (self.recall, self.effort, self.exact) {
            (None, None, false) => Ok(Effort::Default),
            (Some(recall), None, false) if recall > 0.0 && recall <= 1.0 => Ok(Effort::Recall(recall)),
            (Some(recall), None, false) => {
                Err(usage(format!("expected --recall above 0 and at most 1, found {recall}")))
            }
            (None, Some(items), false) => Ok(Effort::Items(items)),
            (None, None, true) => Ok(Effort::Exact),
            _ => Err(usage("expected one of --recall, --effort and --exact, found several")),
        }
    }
}

fn import(options: Options) -> Result<Command> {
    options.finish(|options| {
        Ok(Command::Import(Import {
            store: options.path("STORE")?,
            file: options.path("FILE")?,
            metric: options.metric,
            vectors: options.vectors,
            dim: options.dim,
            ids: options.ids.take(),
            metadata: options.metadata.take(),
            text_id: options.text_id,
            json: options.json,
        }))
    })
}

fn search(options: Options) -> Result<Command> {
    options.finish(|options| {
        let store = options.path("STORE")?;
        let target = match (options.query.take(), options.near.take(), options.row) {
            (Some(file), None, row) => Target::Row { file, row: row.unwrap_or(0) },
            (None, Some(text), None) => Target::Item(parse_id(&text, options.text_id).map_err(usage)?),
            (None, Some(_), Some(_)) => return Err(usage("expected --row with --query only, found it with --near")),
            (Some(_), Some(_), _) => return Err(usage("expected one of --query and --near, found both")),
            (None, None, _) => return Err(usage("expected --query or --near, found neither")),
        };
        let k = options.k.unwrap_or(DEFAULT_K);
        let (filter, effort) = (options.filter.take(), options.effort()?);
        Ok(Command::Search(Search { store, target, k, filter, effort, json: options.json }))
    })
}

fn bench(options: Options) -> Result<Command> {
    options.finish(|options| {
        let store = options.path("STORE")?;
        let queries = options.queries.take().ok_or_else(|| usage("expected --queries, found none"))?;
        let truth = match (options.truth.take(), options.filter.take()) {
            (Some(file), None) => Truth::File(file),
            (None, Some(filter)) => Truth::Filtered(filter),
            (Some(_), Some(_)) => return Err(usage("expected one of --truth and --filter, found both")),
            (None, None) => return Err(usage("expected --truth or --filter, found neither")),
        };
        let k = options.k.unwrap_or(DEFAULT_K);
        if k == 0 {
            return Err(usage("expected -k of at least 1, found 0"));
        }
        Ok(Command::Bench(Bench {
            store,
            queries,
            truth,
            k,
            exact_distances: options.exact_distances,
            json: options.json,
        }))
    })
}

/// An id as people write it: digits are a number, unless all ids are texts.
pub(crate) fn parse_id(text: &str, text_id: bool) -> Result<Id, String> {
    if text_id || text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(Id::from(text));
    }
    text.parse::<u64>()
        .map(Id::from)
        .map_err(|_| format!("expected an id below 2^64, found {text} (--text-id reads it as a text)"))
}

#[cfg(test)]
mod tests;
