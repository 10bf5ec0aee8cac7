//! `import`: a vector file into a store, in batches, then one compaction.

use std::path::Path;

use serde::Serialize;
use understory::{Batch, Id, Maintenance, Metric, Options, Store};

use super::compact_with_bar;
use crate::arguments::{Import, parse_id};
use crate::cpu::Stopwatch;
use crate::failure::{Failure, Result};
use crate::input::{self, Lines, Object, Row, RowSource};
use crate::output;
use crate::progress::Progress;

/// A batch ends with whichever comes first, so that memory stays bounded for every dimension.
const BATCH_ROWS: usize = 4_096;
const BATCH_BYTES: usize = 8 << 20;

#[derive(Serialize)]
struct Report {
    items: u64,
    seconds: f64,
    cpu_seconds: Option<f64>,
    build_cpu_seconds: Option<f64>,
}

pub(crate) fn run(import: &Import) -> Result<()> {
    let watch = Stopwatch::start();
    // Every input is opened and counted before the store is created.
    let mut source = open_source(import)?;
    let ids = import.ids.as_deref().map(|path| side_file(path, source.rows())).transpose()?;
    let metadata = import.metadata.as_deref().map(|path| side_file(path, source.rows())).transpose()?;
    let mut options = Options::new().maintenance(Maintenance::Manual).segment_vectors(import.vectors);
    if let Some(metric) = metric(import) {
        options = options.metric(metric);
    }
    let store = Store::open_with(&import.store, options)?;
    let mut importer = Importer {
        metric: store.metric(),
        store: &store,
        file: &import.file,
        ids,
        metadata,
        text_id: import.text_id,
        batch: Batch::new(),
        batch_bytes: 0,
        written: 0,
    };
    importer.import_all(source.as_mut())?;
    let items = importer.written;
    let build_cpu = compact_with_bar(&store).map_err(|failure| importer.not_compacted(failure))?;
    store.close()?;
    let report = Report {
        items,
        seconds: watch.wall().as_secs_f64(),
        cpu_seconds: watch.cpu().map(|time| time.as_secs_f64()),
        build_cpu_seconds: build_cpu.map(|time| time.as_secs_f64()),
    };
    if import.json { output::json(&report) } else { output::line(&report.sentence()) }
}

/// The metric that the store must have. That of an .ann file is known before it is opened.
fn metric(import: &Import) -> Option<Metric> {
    import.metric.or(input::is_ann(&import.file).then(Metric::default))
}

fn open_source(import: &Import) -> Result<Box<dyn RowSource>> {
    match (input::is_ann(&import.file), import.dim) {
        (true, Some(dim)) => input::open_ann(&import.file, dim, metric(import).unwrap_or_default()),
        (true, None) => Err(Failure::Usage("expected --dim with an .ann file, found none".to_owned())),
        (false, Some(_)) => Err(Failure::Usage("expected --dim with an .ann file only, found another".to_owned())),
        (false, None) => input::open(&import.file),
    }
}

impl Report {
    fn sentence(&self) -> String {
        let cpu = self.cpu_seconds.zip(self.build_cpu_seconds).map_or(String::new(), |(all, build)| {
            format!(" ({all:.2} s of CPU time, {build:.2} s of it to build segments)")
        });
        format!("imported {} items in {:.2} s{cpu}", output::grouped(self.items), self.seconds)
    }
}

/// Opens a file that goes with the vectors line by row.
fn side_file(path: &Path, rows: u64) -> Result<Lines> {
    let found = input::count_lines(path)?;
    if found != rows {
        return Err(Failure::in_file(path, format!("expected a line for each of {rows} rows, found {found} lines")));
    }
    Lines::open(path)
}

struct Importer<'a> {
    store: &'a Store,
    metric: Metric,
    file: &'a Path,
    ids: Option<Lines>,
    metadata: Option<Lines>,
    text_id: bool,
    batch: Batch,
    batch_bytes: usize,
    /// Rows in the store already; rows of the batch follow them.
    written: u64,
}

impl Importer<'_> {
    fn import_all(&mut self, source: &mut dyn RowSource) -> Result<()> {
        let progress = Progress::counting("importing", source.rows());
        let mut row = Row::default();
        while source.read(&mut row).map_err(|failure| self.partly_done(failure))? {
            self.add(&mut row).map_err(|failure| self.partly_done(failure))?;
            if self.batch.len() >= BATCH_ROWS || self.batch_bytes >= BATCH_BYTES {
                progress.advance(self.batch.len() as u64);
                self.write().map_err(|failure| self.partly_done(failure))?;
            }
        }
        self.write().map_err(|failure| self.partly_done(failure))
    }

    fn add(&mut self, row: &mut Row) -> Result<()> {
        let number = self.written + self.batch.len() as u64;
        refuse_unmeasurable(&row.vector, self.metric)
            .map_err(|what| Failure::in_file(self.file, format!("row {number}: {what}")))?;
        let mut id = row.id.take().unwrap_or(Id::Number(number));
        if let Some(lines) = &mut self.ids {
            id = next_id(lines, self.text_id)?;
        }
        let mut metadata = row.metadata.take();
        let mut line_bytes = 0;
        if let Some(lines) = &mut self.metadata {
            let (object, bytes) = next_metadata(lines)?;
            metadata = Some(object);
            line_bytes = bytes;
        }
        self.batch_bytes += row.vector.len() * size_of::<f32>() + line_bytes;
        match metadata {
            None => {
                self.batch.insert(id, &row.vector);
            }
            Some(metadata) => {
                self.batch
                    .insert_with(id, &row.vector, &metadata)
                    .map_err(|error| Failure::in_file(self.file, format!("row {number}: {error}")))?;
            }
        }
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        let rows = self.batch.len() as u64;
        if rows == 0 {
            return Ok(());
        }
        self.batch_bytes = 0;
        self.store.write(std::mem::take(&mut self.batch)).map_err(|error| {
            let (first, last) = (self.written, self.written + rows - 1);
            Failure::in_file(self.file, format!("rows {first} to {last}: {error}"))
        })?;
        self.written += rows;
        Ok(())
    }

    /// Says that what failed is the compaction alone.
    fn not_compacted(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Work(what) => {
                Failure::Work(format!("{what}; all {} rows are in the store, which is not compacted", self.written))
            }
            other => other,
        }
    }

    /// Says what an import that failed half way has left behind.
    fn partly_done(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Work(what) if self.written > 0 => {
                Failure::Work(format!("{what}; the {} rows before it are in the store", self.written))
            }
            other => other,
        }
    }
}

/// The faults that the store would find as well, but without the number of the row.
fn refuse_unmeasurable(vector: &[f32], metric: Metric) -> Result<(), String> {
    if vector.is_empty() {
        return Err("expected at least one component, found none".to_owned());
    }
    if let Some((component, value)) = vector.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        return Err(format!("expected finite components, found {value} at component {component}"));
    }
    if metric == Metric::Cosine && vector.iter().all(|&value| value == 0.0) {
        return Err("expected a vector with a direction (cosine metric), found the zero vector".to_owned());
    }
    let odd = vector.iter().enumerate().find(|&(_, &value)| value != 0.0 && value != 1.0);
    if let (Metric::Hamming, Some((component, value))) = (metric, odd) {
        return Err(format!("expected components 0 or 1 (hamming metric), found {value} at component {component}"));
    }
    Ok(())
}

/// The files have as many lines as there are rows: it was counted before.
fn next_id(lines: &mut Lines, text_id: bool) -> Result<Id> {
    let parsed = match lines.next_line()? {
        None => Err("expected a further line, found the end of the file".to_owned()),
        Some("") => Err("expected an id, found an empty line".to_owned()),
        Some(line) => parse_id(line, text_id),
    };
    parsed.map_err(|what| lines.fault(what))
}

fn next_metadata(lines: &mut Lines) -> Result<(Object, usize)> {
    let parsed = match lines.next_line()? {
        None => Err("expected a further line, found the end of the file".to_owned()),
        Some(line) => input::metadata_object(line).map(|object| (object, line.len())),
    };
    parsed.map_err(|what| lines.fault(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_no_metric_measures_are_found_before_the_batch() {
        assert!(refuse_unmeasurable(&[0.0, f32::NAN], Metric::Dot).unwrap_err().contains("component 1"));
        assert!(refuse_unmeasurable(&[0.0, 0.0], Metric::Cosine).unwrap_err().contains("zero vector"));
        assert!(refuse_unmeasurable(&[], Metric::Cosine).unwrap_err().contains("one component, found none"));
        assert_eq!(refuse_unmeasurable(&[0.0, 0.0], Metric::Euclidean), Ok(()));
        assert_eq!(refuse_unmeasurable(&[0.0, -1.0], Metric::Cosine), Ok(()));
        assert!(refuse_unmeasurable(&[0.0, 2.0], Metric::Hamming).unwrap_err().contains("found 2 at component 1"));
        assert_eq!(refuse_unmeasurable(&[0.0, 1.0], Metric::Hamming), Ok(()));
    }

    #[test]
    fn a_file_beside_the_vectors_must_have_a_line_a_row() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids");
        std::fs::write(&path, "7\n\nnote").unwrap();
        assert!(matches!(side_file(&path, 4), Err(Failure::Work(what)) if what.contains("found 3 lines")));
        let mut lines = side_file(&path, 3).unwrap();
        assert_eq!(next_id(&mut lines, false), Ok(Id::from(7)));
        assert!(matches!(next_id(&mut lines, false), Err(Failure::Work(what)) if what.contains("line 2")));
        assert_eq!(next_id(&mut lines, false), Ok(Id::from("note")));
    }
}
