//! The peer that keeps a graph in memory and dumps it: hnsw_rs.

use hnsw_rs::prelude::{AnnT, DistDot, DistL2, Distance, Hnsw, HnswIo};

use crate::process::cpu_seconds;
use crate::{Built, Engine, Job, Metric, Result, Setting, effort, version};

/// As the other graphs of the comparison.
const EF_CONSTRUCTION: usize = 200;
const LINKS: usize = 16;

/// As many as the crate allows: the graph uses what the number of items needs.
const LAYERS: usize = 16;

/// The dump's name: two files, of the graph and of the vectors.
const NAME: &str = "index";

pub(crate) fn build(job: &Job, rows: &[&[f32]]) -> Result<Built> {
    match job.metric {
        // Vectors are normalised already: the plain inner product is its fastest form of the cosine.
        Metric::Cosine => build_with(DistDot, job, rows),
        Metric::Euclidean => build_with(DistL2, job, rows),
    }
}

pub(crate) fn open(job: &Job) -> Result<Box<dyn Engine>> {
    match job.metric {
        Metric::Cosine => open_with::<DistDot>(job),
        Metric::Euclidean => open_with::<DistL2>(job),
    }
}

fn build_with<D: Distance<f32> + Send + Sync>(distance: D, job: &Job, rows: &[&[f32]]) -> Result<Built> {
    let start = cpu_seconds();
    let graph = Hnsw::<f32, D>::new(LINKS, rows.len(), LAYERS, EF_CONSTRUCTION, distance);
    for (row, vector) in rows.iter().enumerate() {
        graph.insert((vector, row));
    }
    let index_cpu = cpu_seconds() - start;
    std::fs::create_dir_all(&job.index)?;
    graph.file_dump(&job.index, NAME)?;
    Ok(Built { index_cpu, rows_cpu: 0.0 })
}

fn open_with<D>(job: &Job) -> Result<Box<dyn Engine>>
where
    D: Distance<f32> + Default + Send + Sync + 'static,
{
    // What reads the dump must outlive the graph, which lives until the process ends.
    let dump = Box::leak(Box::new(HnswIo::new(&job.index, NAME)));
    let mut graph = dump.load_hnsw::<f32, D>()?;
    graph.set_searching_mode(true);
    Ok(Box::new(Open { graph }))
}

struct Open<D: Distance<f32>> {
    graph: Hnsw<'static, f32, D>,
}

impl<D: Distance<f32> + Send + Sync> Engine for Open<D> {
    fn version(&self) -> String {
        version("hnsw_rs")
    }

    fn search(&self, query: &[f32], k: usize, setting: Setting) -> Result<Vec<u64>> {
        let found = self.graph.search(query, k, effort(setting)?);
        Ok(found.iter().map(|hit| hit.d_id as u64).collect())
    }
}
