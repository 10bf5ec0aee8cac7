//! This store, as any user of the library sees it.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use understory::{Batch, Id, Maintenance, Metric, Options, Stage, Store};

use crate::process::cpu_seconds;
use crate::{Built, Engine, Job, Result, Setting};

const BATCH_ROWS: usize = 4_096;

/// Durable rows first, in batches, then one compaction. The index is what the compaction spends on building segments
/// and measuring searches; the rows are all else.
pub(crate) fn build(job: &Job, rows: &[&[f32]]) -> Result<Built> {
    let metric = match job.metric {
        crate::Metric::Cosine => Metric::Cosine,
        crate::Metric::Euclidean => Metric::Euclidean,
    };
    let start = cpu_seconds();
    let options = Options::new().metric(metric).maintenance(Maintenance::Manual).threads(1);
    let store = Store::open_with(&job.index, options)?;
    for (at, chunk) in rows.chunks(BATCH_ROWS).enumerate() {
        let mut batch = Batch::new();
        for (row, vector) in chunk.iter().enumerate() {
            batch.insert((at * BATCH_ROWS + row) as u64, *vector);
        }
        store.write(batch)?;
    }
    let spent = Mutex::new((0.0, None::<f64>));
    store.compact_with_progress(&|stage, _| {
        let (index, since) = &mut *spent.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(stage, Stage::Building | Stage::Measuring) {
            since.get_or_insert_with(cpu_seconds);
        } else if let Some(since) = since.take() {
            *index += cpu_seconds() - since;
        }
        true
    })?;
    store.close()?;
    let (index_cpu, _) = spent.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Built { index_cpu, rows_cpu: cpu_seconds() - start - index_cpu })
}

pub(crate) fn open(index: &Path) -> Result<Box<dyn Engine>> {
    Ok(Box::new(Open { store: Store::open_with(index, Options::new().create(false))? }))
}

struct Open {
    store: Store,
}

impl Engine for Open {
    fn version(&self) -> String {
        "this tree".to_owned()
    }

    fn search(&self, query: &[f32], k: usize, setting: Setting) -> Result<Vec<u64>> {
        let query = self.store.query(query)?.k(k);
        let query = match setting {
            Setting::Effort(items) => query.effort(items),
            Setting::Recall { recall } => query.recall(recall),
            Setting::Default {} => query,
        };
        let number = |id: &Id| match id {
            Id::Number(number) => Ok(*number),
            Id::Text(text) => Err(format!("expected ids that are row numbers, found the text {text:?}").into()),
        };
        query.run()?.iter().map(|hit| number(&hit.id)).collect()
    }
}
