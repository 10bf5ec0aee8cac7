//! `search`: the nearest items of a vector in a file, or of a stored item.

use serde::Serialize;
use understory::Hit;

use super::{open_to_read, warn_of};
use crate::arguments::{Effort, Search, Target};
use crate::failure::{Failure, Result};
use crate::{input, output};

#[derive(Serialize)]
struct Line {
    id: serde_json::Value,
    distance: f32,
    metadata: serde_json::Value,
}

pub(crate) fn run(search: &Search) -> Result<()> {
    let store = open_to_read(&search.store)?;
    let query = match &search.target {
        Target::Row { file, row } => store.query(input::read_vector(file, *row)?)?,
        Target::Item(id) => store.query_near(id.clone())?,
    };
    let query = query.k(search.k).with_metadata();
    let query = match search.effort {
        Effort::Default => query,
        Effort::Recall(recall) => query.recall(recall),
        Effort::Items(items) => query.effort(items),
        Effort::Exact => query.exact(),
    };
    let hits = match &search.filter {
        Some(filter) => {
            let (hits, report) = query.filter(filter).run_with_report()?;
            warn_of(&report.unknown_fields);
            hits
        }
        None => query.run()?,
    };
    let ids: Vec<String> = hits.iter().map(|hit| output::plain_id(&hit.id)).collect();
    let width = ids.iter().map(|id| id.chars().count()).max().unwrap_or_default();
    for (hit, id) in hits.iter().zip(&ids) {
        let metadata = metadata(hit)?;
        if search.json {
            output::json(&Line { id: output::json_id(&hit.id), distance: hit.distance, metadata })?;
        } else {
            let metadata = if metadata.as_object().is_none_or(serde_json::Map::is_empty) {
                String::new()
            } else {
                format!("  {metadata}")
            };
            output::line(&format!("{id:width$}  {:.6}{metadata}", hit.distance))?;
        }
    }
    Ok(())
}

/// The item's metadata as a JSON object, empty if it has none.
fn metadata(hit: &Hit) -> Result<serde_json::Value> {
    match &hit.metadata {
        None => Ok(serde_json::Value::Object(serde_json::Map::new())),
        Some(metadata) => {
            serde_json::to_value(metadata).map_err(|error| Failure::Work(format!("could not write JSON: {error}")))
        }
    }
}
