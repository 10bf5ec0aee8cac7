//! Peers that keep their vectors in LMDB: arroy and hannoy.

use std::num::NonZeroUsize;

use heed::{CommitOrAbort, Env, EnvOpenOptions, RoTxn, WithoutTls};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::process::cpu_seconds;
use crate::{Built, Engine, Job, Metric, Result, Setting, effort, version};

/// Address space, not memory.
const MAP_BYTES: usize = 64 << 30;

/// As the other graphs of the comparison.
const EF_CONSTRUCTION: usize = 200;
const LINKS: usize = 16;
const LINKS_OF_GROUND: usize = 32;

/// As Annoy in the comparison.
const TREES: usize = 10;

const SEED: u64 = 42;

pub(crate) fn build(job: &Job, rows: &[&[f32]]) -> Result<Built> {
    let env = environment(job)?;
    match (job.engine.as_str(), job.metric) {
        ("arroy", Metric::Cosine) => build_arroy::<arroy::distances::Cosine>(&env, job, rows),
        ("arroy", Metric::Euclidean) => build_arroy::<arroy::distances::Euclidean>(&env, job, rows),
        (_, Metric::Cosine) => build_hannoy::<hannoy::distances::Cosine>(&env, job, rows),
        (_, Metric::Euclidean) => build_hannoy::<hannoy::distances::Euclidean>(&env, job, rows),
    }
}

pub(crate) fn open(job: &Job) -> Result<Box<dyn Engine>> {
    // One environment a process, until it ends.
    let env: &'static Env<WithoutTls> = Box::leak(Box::new(environment(job)?));
    match (job.engine.as_str(), job.metric) {
        ("arroy", Metric::Cosine) => open_arroy::<arroy::distances::Cosine>(env),
        ("arroy", Metric::Euclidean) => open_arroy::<arroy::distances::Euclidean>(env),
        (_, Metric::Cosine) => open_hannoy::<hannoy::distances::Cosine>(env),
        (_, Metric::Euclidean) => open_hannoy::<hannoy::distances::Euclidean>(env),
    }
}

#[expect(unsafe_code, reason = "LMDB maps its file")]
fn environment(job: &Job) -> Result<Env<WithoutTls>> {
    std::fs::create_dir_all(&job.index)?;
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    // SAFETY: the folder is the comparison's own, and no other process opens it meanwhile.
    Ok(unsafe { options.map_size(MAP_BYTES).open(&job.index) }?)
}

fn build_arroy<D: arroy::Distance>(env: &Env<WithoutTls>, job: &Job, rows: &[&[f32]]) -> Result<Built> {
    let start = cpu_seconds();
    let created = env.create_databases_and_commit(env.write_txn()?, |options, transaction| -> heed::Result<_> {
        options.create_database(transaction, None).map(CommitOrAbort::<_, ()>::Commit)
    })?;
    let database: arroy::Database<D> = created.unwrap_commit();
    let mut transaction = env.write_txn()?;
    let writer = arroy::Writer::<D>::new(database, 0, job.dimension);
    for (row, vector) in rows.iter().enumerate() {
        writer.add_item(&mut transaction, row as u32, vector)?;
    }
    let rows_cpu = cpu_seconds() - start;
    let mut random = StdRng::seed_from_u64(SEED);
    writer.builder(&mut random).n_trees(TREES).build(&mut transaction)?;
    transaction.commit()?;
    Ok(Built { index_cpu: cpu_seconds() - start - rows_cpu, rows_cpu })
}

fn build_hannoy<D: hannoy::Distance>(env: &Env<WithoutTls>, job: &Job, rows: &[&[f32]]) -> Result<Built> {
    let start = cpu_seconds();
    let created = env.create_databases_and_commit(env.write_txn()?, |options, transaction| -> heed::Result<_> {
        options.create_database(transaction, None).map(CommitOrAbort::<_, ()>::Commit)
    })?;
    let database: hannoy::Database<D> = created.unwrap_commit();
    let mut transaction = env.write_txn()?;
    let writer = hannoy::Writer::<D>::new(database, 0, job.dimension);
    for (row, vector) in rows.iter().enumerate() {
        writer.add_item(&mut transaction, row as u32, vector)?;
    }
    let rows_cpu = cpu_seconds() - start;
    let mut random = StdRng::seed_from_u64(SEED);
    let mut builder = writer.builder(&mut random);
    builder.ef_construction(EF_CONSTRUCTION).build::<LINKS, LINKS_OF_GROUND>(&mut transaction)?;
    transaction.commit()?;
    Ok(Built { index_cpu: cpu_seconds() - start - rows_cpu, rows_cpu })
}

/// A reader with the transaction it reads in, which lives as long as the process.
struct Open<R> {
    reader: R,
    transaction: &'static RoTxn<'static, WithoutTls>,
}

fn open_arroy<D: arroy::Distance>(env: &'static Env<WithoutTls>) -> Result<Box<dyn Engine>> {
    let opened = env.open_databases_and_commit(env.read_txn()?, |options, transaction| -> heed::Result<_> {
        options.open_database(transaction, None).map(CommitOrAbort::<_, ()>::Commit)
    })?;
    let database: arroy::Database<D> = opened.unwrap_commit().ok_or("expected a built index")?;
    let transaction: &'static RoTxn<'static, WithoutTls> = Box::leak(Box::new(env.read_txn()?));
    let reader = arroy::Reader::<D>::open(transaction, 0, database)?;
    Ok(Box::new(Open { reader, transaction }))
}

impl<D: arroy::Distance> Engine for Open<arroy::Reader<'static, D>> {
    fn version(&self) -> String {
        version("arroy")
    }

    fn search(&self, query: &[f32], k: usize, setting: Setting) -> Result<Vec<u64>> {
        let effort = NonZeroUsize::new(effort(setting)?).ok_or("expected an effort above 0")?;
        let found = self.reader.nns(k).search_k(effort).by_vector(self.transaction, query)?;
        Ok(found.iter().map(|&(row, _)| u64::from(row)).collect())
    }
}

fn open_hannoy<D: hannoy::Distance>(env: &'static Env<WithoutTls>) -> Result<Box<dyn Engine>> {
    let opened = env.open_databases_and_commit(env.read_txn()?, |options, transaction| -> heed::Result<_> {
        options.open_database(transaction, None).map(CommitOrAbort::<_, ()>::Commit)
    })?;
    let database: hannoy::Database<D> = opened.unwrap_commit().ok_or("expected a built index")?;
    let transaction: &'static RoTxn<'static, WithoutTls> = Box::leak(Box::new(env.read_txn()?));
    let reader = hannoy::Reader::<D>::open(transaction, 0, database)?;
    Ok(Box::new(Open { reader, transaction }))
}

impl<D: hannoy::Distance> Engine for Open<hannoy::Reader<'static, D>> {
    fn version(&self) -> String {
        version("hannoy")
    }

    fn search(&self, query: &[f32], k: usize, setting: Setting) -> Result<Vec<u64>> {
        let found = self.reader.nns(k).ef_search(effort(setting)?).by_vector(self.transaction, query)?;
        Ok(found.into_nns().iter().map(|&(row, _)| u64::from(row)).collect())
    }
}
