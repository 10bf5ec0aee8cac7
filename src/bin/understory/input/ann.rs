//! `.ann`: the items of an Annoy index, whose ids are their numbers.

use std::path::Path;

use understory::annoy::{AnnoyIndex, Metric};
use understory::{Error, Id};

use super::{Row, RowSource};
use crate::failure::{Failure, Result};

pub(super) struct Items {
    index: AnnoyIndex,
    next: usize,
    rows: u64,
}

impl Items {
    pub(super) fn open(path: &Path, dim: usize, metric: understory::Metric) -> Result<Items> {
        let metric = match metric {
            understory::Metric::Cosine => Metric::Angular,
            understory::Metric::Euclidean => Metric::Euclidean,
            understory::Metric::Dot => Metric::Dot,
            understory::Metric::Manhattan => Metric::Manhattan,
            understory::Metric::Hamming => Metric::Hamming,
            other => return Err(Failure::in_file(path, format!("expected a metric of Annoy's, found {other}"))),
        };
        let mut index = AnnoyIndex::new(dim, metric)?;
        index.load(path, false)?;
        let present = (0..index.get_n_items()).map(|item| Ok(u64::from(index.has_item(item)?)));
        let rows = present.sum::<Result<u64, Error>>()?;
        Ok(Items { index, next: 0, rows })
    }
}

impl RowSource for Items {
    fn rows(&self) -> u64 {
        self.rows
    }

    fn read(&mut self, row: &mut Row) -> Result<bool> {
        while self.next < self.index.get_n_items() {
            let item = self.next;
            self.next += 1;
            if self.index.has_item(item)? {
                row.vector = self.index.get_item_vector(item)?;
                row.id = Some(Id::Number(item as u64));
                row.metadata = None;
                return Ok(true);
            }
        }
        Ok(false)
    }
}
